"""From an image to every model that saw it: the lists of images of all versions in the registry, searched."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.registry import images
from destseg.registry.connection import connect, explained
from destseg.registry.images import Part, SeenImage
from destseg.registry.listing import Listed, every_version
from destseg.registry.origins import Origins, arrival, origins
from destseg.storage import versions
from destseg.text import printable

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A model that saw an image, and as what."""

    model: str
    aliases: tuple[str, ...]
    part: Part
    name: str
    """Of the image, in that model's dataset version."""


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image of a category, its provenance record at HEAD or why there is none, and the models that saw it."""

    sha256: str
    category: str
    name: str
    origin: dict[str, Any] | None
    no_origin: str
    seen_by: tuple[Sighting, ...]

    def __str__(self) -> str:
        lines = [f"{self.sha256}  {printable(self.name)} of {self.category}"]
        lines.append(f"  came {arrival(self.origin)}" if self.origin else f"  no provenance: {self.no_origin}")
        if self.origin and "version" in self.origin:
            lines.append(f"  first in dataset version {printable(str(self.origin['version']))}")
        lines.append(f"  versions that saw it: {len(self.seen_by)}")
        wide = max((len(seen.model) for seen in self.seen_by), default=0)
        lines += [f"    {s.model:<{wide}}  {s.part:<11}  {', '.join(s.aliases)}".rstrip() for s in self.seen_by]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class ImageTrace:
    """What became of the images whose SHA-256 begins so."""

    sha256: str
    images: tuple[FoundImage, ...]
    searched: int
    """Versions whose list of images was read."""
    unanswered: dict[str, str]
    """Versions that could not be searched, and why; they may have seen the image."""

    def __str__(self) -> str:
        lines = [str(image) for image in self.images] or [f"no image {self.sha256} in any list or provenance record"]
        lines.append(f"versions searched: {self.searched}")
        if self.unanswered:
            lines.append(f"versions that could not be searched, and may have seen it: {len(self.unanswered)}")
            lines += [f"  {printable(reason)}" for reason in self.unanswered.values()]
        return "\n".join(lines)


def sightings(sha256: str, *, root: Path = Path()) -> ImageTrace:
    """Every model that saw the images whose SHA-256 is, or begins with, `sha256`; provenance by the clone in `root`."""
    with explained("listing the registered models"):
        known = every_version(connect())
    seen: dict[tuple[str, str], list[Sighting]] = {}
    unanswered: dict[str, str] = {}
    told = time.monotonic()
    for done, item in enumerate(known):
        if time.monotonic() - told > 5:
            told = time.monotonic()
            log.info("%d of %d versions searched", done, len(known))
        try:
            matching = _matching(item, sha256)
        except Error as error:
            unanswered[item.uri] = str(error)
            continue
        for image in matching:
            found = Sighting(model=item.uri, aliases=item.aliases, part=image.part, name=image.name)
            seen.setdefault((item.category, image.sha256), []).append(found)
    return ImageTrace(
        sha256=sha256,
        images=_images(sha256, seen, {item.category for item in known}, root),
        searched=len(known) - len(unanswered),
        unanswered=unanswered,
    )


def _at_head(root: Path, category: str) -> Origins:
    try:
        return origins(root, category)
    except Error as error:  # of one category, which may not be the image's
        return Origins(missing=str(error))


def _matching(item: Listed, sha256: str) -> list[SeenImage]:
    rows = images.read(images.fetch(item.version), containing=sha256)
    return [image for image in rows if image.sha256.startswith(sha256)]


def _images(
    sha256: str, seen: Mapping[tuple[str, str], list[Sighting]], categories: Iterable[str], root: Path
) -> tuple[FoundImage, ...]:
    """Those that models saw, and those that git has a record of although no model saw them yet."""
    here = (path.stem for path in (root / versions.DATASETS).glob("*.dvc"))
    at_head = {category: _at_head(root, category) for category in {*categories, *here}}
    records = {
        (category, sha): record
        for category, known in at_head.items()
        for sha, record in known.records.items()
        if sha.startswith(sha256)
    }
    return tuple(
        FoundImage(
            sha256=sha,
            category=category,
            name=seen[category, sha][-1].name if (category, sha) in seen else str(records[category, sha].get("name")),
            origin=records.get((category, sha)),
            no_origin="" if (category, sha) in records else at_head[category].missing or "it has no record at HEAD",
            seen_by=tuple(seen.get((category, sha), ())),
        )
        for category, sha in sorted({*seen, *records})
    )
