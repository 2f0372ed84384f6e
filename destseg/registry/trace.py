"""From a model back to the photographs, code, settings and people behind it; from a photograph to its models."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.layout import BUILD, IMAGE_SUFFIXES
from destseg.files import sha256
from destseg.model.named import teacher_in_words
from destseg.registry import evidence, images, integrity, recorded
from destseg.registry.addresses import is_address, registered
from destseg.registry.connection import candidates, connect, explained
from destseg.registry.evidence import Lineage
from destseg.registry.history import Entry, history
from destseg.registry.images import Part, SeenImage
from destseg.registry.listing import Listed, every_version, listed
from destseg.registry.origins import arrival, moment, origins
from destseg.registry.sightings import ImageTrace, sightings
from destseg.text import printable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_HASH = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True)
class TracedImage(SeenImage):
    """An image that a model saw; `origin` is its provenance record at the model's commit, if git has one."""

    origin: dict[str, Any] | None

    def __str__(self) -> str:
        came = f"  {arrival(self.origin)}" if self.origin else ""
        return f"{self.part:<11}  {self.sha256[:16]}  {printable(self.name)}{came}"


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything behind a model."""

    model: str
    """models:/NAME/VERSION, or build/<category> where that is not registered."""
    also: tuple[str, ...] = ()
    """Other versions with the very same files, where a local file or folder was traced."""
    aliases: tuple[str, ...] = ()
    lineage: Lineage
    metrics: dict[str, float]
    candidate: str | None
    promotions: tuple[Entry, ...]
    image_list: str | None
    """SHA-256 of the list of images."""
    images: tuple[TracedImage, ...]
    no_images: str = ""
    """Why they are not known."""
    no_origins: str = ""
    """Why no provenance could be read."""

    def __str__(self) -> str:
        lineage = self.lineage
        tree = "" if lineage.clean else ", with changes that were not committed"
        rows = [
            ("dataset version", f"{lineage.dataset_version}, {lineage.dataset_url}"),
            ("images", self._counts()),
            *([("provenance", self._provenance())] if self.images else []),
            ("commit", lineage.commit + tree),
            ("network", lineage.network),
            ("teacher", f"{teacher_in_words(lineage.teacher)}, SHA-256 {lineage.teacher.get('sha256', 'not stated')}"),
            ("metrics", ", ".join(f"{name} {value:.4g}" for name, value in self.metrics.items())),
            ("params", f"{len(lineage.params)}, SHA-256 {evidence.params_hash(lineage.params)}"),
            *(("", line) for line in _sections(lineage.params)),
            ("candidate", self.candidate or "not registered"),
            *(("promoted", str(entry)) for entry in self.promotions),
            *([] if self.promotions else [("promoted", "never")]),
            *([("same files", ", ".join(self.also))] if self.also else []),
        ]
        title = f"{self.model} ({', '.join(self.aliases)})" if self.aliases else self.model
        return "\n".join([title, *(f"  {label:<17}{printable(text)}" for label, text in rows)])

    def with_images(self) -> str:
        """The same, followed by a line for each image."""
        return "\n".join([str(self), *(f"  {image}" for image in self.images)])

    def _counts(self) -> str:
        if not self.images:
            return f"not known: {self.no_images}"
        counts = Counter(image.part for image in self.images)
        said = ", ".join(f"{counts[part]} {part}" for part in get_args(Part))
        return f"{len(self.images)}: {said}; list with SHA-256 {self.image_list}"

    def _provenance(self) -> str:
        known = [image.origin for image in self.images if image.origin]
        if not known:
            return f"none: {self.no_origins or 'no image has a record at this commit'}"
        batches = provenance.from_inbox(known)
        times = sorted(str(record["modified"]) for record in batches if "modified" in record)
        when = f", {moment(times[0])} to {moment(times[-1])}" if times else ""
        lines = Counter(str(record["line"]) for record in batches if "line" in record)
        shares = "".join(f", {count} from line {line}" for line, count in sorted(lines.items()))
        return f"{len(known)} of {len(self.images)} have a record; {len(batches)} came through the inbox{when}{shares}"


def trace(what: str, *, root: Path = Path()) -> Trace | ImageTrace:
    """A model's lineage, or the models that saw an image.

    `what` is models:/NAME@ALIAS, models:/NAME/VERSION, a package or a file of one, an image file, or the first 8 to 64
    digits of an image's SHA-256. Provenance is read in the clone `root`.
    """
    if is_address(what):
        return _of_version(registered(what), root)
    path = Path(what)
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return sightings(sha256(path), root=root)
    if path.exists():
        return _of_files(path, root)
    if _HASH.fullmatch(what.lower()):
        return sightings(what.lower(), root=root)
    raise Error(
        f"{what!r} can't be traced; expected models:/NAME@ALIAS, models:/NAME/VERSION, a model's folder or file, an "
        f"image file, or 8 to 64 hexadecimal digits of an image's SHA-256"
    )


def _of_version(version: "ModelVersion", root: Path) -> Trace:
    with explained(f"tracing models:/{version.name}/{version.version}"):
        item = listed(connect().get_registered_model(version.name), version)
        lineage = recorded.lineage(version)
        number = int(version.tags.get("candidate_version", version.version))
        found = Trace(
            model=item.uri,
            aliases=item.aliases,
            lineage=lineage,
            metrics=json.loads(version.tags.get("metrics", "{}")),
            candidate=f"models:/{candidates(item.category)}/{number}",
            promotions=tuple(entry for entry in history(item.category) if entry.candidate == number),
            image_list=version.tags.get(images.TAG),
            images=(),
        )
        try:
            seen = images.read(images.fetch(version))
        except Error as error:
            return replace(found, no_images=str(error))
    return _with_images(found, seen, item.category, root)


def _of_files(path: Path, root: Path) -> Trace:
    """The trace of the version that has this very package, or this file in it; of build/<category> also without."""
    package = path / evidence.PACKAGE if (path / evidence.PACKAGE).is_dir() else path
    found = integrity.digests(package) if package.is_dir() else sha256(package)
    with explained(f"looking for {path} among the registered models"):
        same = [item for item in every_version(connect()) if _holds(item, found)]
    if same:
        best = max(same, key=lambda item: item.order[1:])  # a released version, the newest
        also = tuple(item.uri for item in same if item is not best)
        return replace(_of_version(best.version, root), also=also)
    if path.resolve().parent == (root / BUILD).resolve():
        return _of_build(path.resolve().name, root)
    raise Error(f"{path} is no file or folder of a registered model; expected one whose SHA-256s a version names")


def _holds(item: Listed, found: dict[str, str] | str) -> bool:
    """Whether the version has exactly these files, by name and SHA-256, or one file with this SHA-256."""
    files: dict[str, str] = json.loads(item.version.tags.get("files", "{}"))
    return found in files.values() if isinstance(found, str) else found == files


def _of_build(category: str, root: Path) -> Trace:
    evidence.check_current(category, root)
    found = Trace(
        model=(BUILD / category).as_posix(),
        lineage=evidence.lineage(category, root),
        metrics=evidence.metrics(category, root),
        candidate=None,
        promotions=(),
        image_list=None,
        images=(),
    )
    return _with_images(found, evidence.seen_images(category, root), category, root)


def _with_images(found: Trace, seen: Iterable[SeenImage], category: str, root: Path) -> Trace:
    origin = origins(root, category, found.lineage.commit)
    traced = tuple(TracedImage(**vars(image), origin=origin.records.get(image.sha256)) for image in seen)
    return replace(found, images=traced, no_origins=origin.missing)


def _sections(params: dict[str, Any]) -> list[str]:
    """`student: lr 0.4, steps 2400`, a line for each section of params.yaml."""
    sections: dict[str, list[str]] = {}
    for name, value in params.items():
        section, _, setting = name.partition(".")
        text = value if isinstance(value, str) else json.dumps(value)
        sections.setdefault(section, []).append(f"{setting} {text}".lstrip())
    return [f"{section}: {', '.join(settings)}" for section, settings in sections.items()]
