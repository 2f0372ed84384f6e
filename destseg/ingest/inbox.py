"""What waits in inbox/<category>/, and which of it is a usable photograph. Nothing here changes the inbox."""

import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from PIL import Image

from destseg.dataset.images import FORMATS, ImageError, check_single, decode, opened, readable
from destseg.dataset.layout import GOOD
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.dataset.provenance import Record
from destseg.files import replacing
from destseg.ingest.arrivals import Arrival, prefix
from destseg.storage import s3
from destseg.validation.settings import ValidationSettings

logger = logging.getLogger(__name__)

# Formats by the first bytes of the file; its name says nothing that can be relied on.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tif"),
    (b"MM\x00*", ".tif"),
    (b"RIFF", ".webp"),
)
_FORMAT = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP"}
_CLIPPED = 0.995  # share of pixels at one end of the scale from which a photograph shows nothing
DEFAULT_LIMITS = ValidationSettings()
_WORKERS = 4  # each may hold one photograph of 64 million pixels
MAX_SIDECAR = 65_536  # bytes
_SIDECAR = 'some of {"line": "...", "camera": "...", "time": "..."}'


@dataclass(frozen=True, kw_only=True)
class Part:
    """An object of the inbox that has been read: `reason` says why it cannot be used, `file` holds what can."""

    key: str
    etag: str
    size: int
    modified: str
    sha256: str = ""
    md5: str = ""
    suffix: str = ""
    file: Path | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Photograph(Part):
    """A photograph with what belongs to it, judged as one: its `reason` is theirs too."""

    kind: str = GOOD
    mask: Part | None = None
    sidecar: Part | None = None
    about: dict[str, str] = field(default_factory=dict)
    """What the sidecar says: line, camera, time."""

    @property
    def name(self) -> str:
        """In the dataset's folder, by its content."""
        return f"{'train' if self.kind == GOOD else 'test'}/{self.kind}/{self.sha256[:16]}{self.suffix}"

    def files(self) -> dict[str, Part]:
        """What the dataset gets, by name."""
        mask = {f"ground_truth/{self.kind}/{self.sha256[:16]}{MASK_SUFFIX}": self.mask} if self.mask else {}
        return {self.name: self, **mask}

    @property
    def record(self) -> Record:
        """What the dataset's provenance says of it, but for the version that it is new in."""
        about = {"etag": self.etag, "modified": self.modified, "size": self.size, **self.about}
        if self.mask:
            about["mask_key"] = self.mask.key
        return {"sha256": self.sha256, "name": self.name, "keys": [self.key], **about}

    @property
    def parts(self) -> list[Part]:
        """All its objects, the photograph last: while it is there, a repetition finds it and what became of it."""
        return [part for part in (self.mask, self.sidecar) if part] + [self]


@dataclass(frozen=True, kw_only=True)
class LateSidecar(Part):
    """A sidecar that came after its photograph was taken; its `reason` says why it says nothing."""

    photograph: str
    """Its SHA-256."""
    about: dict[str, str]


def waiting(bucket: str, category: str) -> list[s3.Object]:
    """The objects of the inbox; the empty ones with which consoles mark folders are none."""
    return [item for item in s3.list_objects(bucket, prefix(category)) if item.size or not item.key.endswith("/")]


def read(
    bucket: str,
    arrivals: Sequence[Arrival],
    *,
    folder: Path,
    max_bytes: int,
    bit_depth: int,
    limits: ValidationSettings,
) -> Iterator[Photograph]:
    """Each arrival judged, in their order, its bytes kept in `folder`; one that has gone meanwhile is left out."""

    def judge(arrival: Arrival) -> Photograph | None:
        try:
            return _judge(bucket, arrival, folder, max_bytes, bit_depth, limits)
        except s3.MissingObject:
            return None

    told = time.monotonic()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, photograph in enumerate(pool.map(judge, arrivals), start=1):
            if time.monotonic() - told > 5 or done == len(arrivals):
                told = time.monotonic()
                logger.info("%d of %d photographs read from the inbox", done, len(arrivals))
            if photograph is not None:
                yield photograph


def late_sidecars(
    bucket: str, alone: Sequence[s3.Object], records: Sequence[Record]
) -> tuple[list[LateSidecar], list[s3.Object]]:
    """Of the objects without a photograph, the sidecars of photographs that the dataset has, and the others.

    Where a key was used again, it is the last photograph's. One that says something else than is known of it
    already may be that of a photograph which is yet to come under the same key: it stays with the others.
    """
    owners: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: str(record.get("modified"))):
        for key in record.get("keys", []):
            owners[f"{key}.json"] = owners[f"{key.removesuffix(PurePosixPath(key).suffix)}.json"] = record
    late, rest = [], []
    for item in alone:
        if item.key not in owners:
            rest.append(item)
            continue
        with contextlib.suppress(s3.MissingObject):
            part, content = _read(bucket, item, MAX_SIDECAR)
            about, wrong = read_sidecar(content)
            owner, fields = owners[item.key], vars(part) | {"reason": part.reason or wrong}
            if any(owner.get(name, text) != text for name, text in about.items()):
                rest.append(item)
            else:
                late.append(LateSidecar(**fields, photograph=owner["sha256"], about=about))
    return late, rest


def _judge(
    bucket: str, arrival: Arrival, folder: Path, max_bytes: int, bit_depth: int, limits: ValidationSettings
) -> Photograph:
    image, content = _read(bucket, arrival.photograph, max_bytes)
    mask, mask_content = _read(bucket, arrival.mask, max_bytes) if arrival.mask else (None, b"")
    sidecar, sidecar_content = _read(bucket, arrival.sidecar, MAX_SIDECAR) if arrival.sidecar else (None, b"")
    about: dict[str, str] = {}
    if sidecar:
        about, wrong = read_sidecar(sidecar_content)
        sidecar = replace(sidecar, reason=sidecar.reason or wrong)
    reason = arrival.reason or image.reason or unusable(content, image.suffix, bit_depth, limits)
    if mask and not reason:
        reason = mask.reason or unusable_mask(mask_content, decode(content, bit_depth=bit_depth).size, limits)
    if not reason:
        image = replace(image, file=_kept(folder, image, content))
        mask = mask and replace(mask, file=_kept(folder, mask, mask_content))
    fields = vars(image) | {"reason": reason}
    return Photograph(**fields, kind=arrival.kind, mask=mask, sidecar=sidecar, about=about)


def _kept(folder: Path, part: Part, content: bytes) -> Path:
    file = folder / f"{part.sha256}{part.suffix}"
    with replacing(file) as fresh:  # the same bytes may be read twice at once
        fresh.write_bytes(content)
    return file


def _read(bucket: str, item: s3.Object, max_bytes: int) -> tuple[Part, bytes]:
    """The object and its content, which is empty when it is too large."""
    modified = item.modified.isoformat()
    try:
        content, etag = s3.download(bucket, item.key, max_bytes)
    except s3.ObjectTooLarge:
        setting = "" if max_bytes == MAX_SIDECAR else " (ingest.max_bytes)"
        too_large = f"the file has {item.size:,} bytes, expected at most {max_bytes:,}{setting}"
        return Part(key=item.key, modified=modified, etag=item.etag, size=item.size, reason=too_large), b""
    sha256 = hashlib.sha256(content).hexdigest()
    part = Part(
        key=item.key,
        modified=modified,
        etag=etag,
        size=len(content),
        sha256=sha256,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),  # what DVC knows a file by
        suffix=suffix_of(content),
    )
    return part, content


def suffix_of(content: bytes) -> str:
    """What a file with this content should end in; empty when it is no image."""
    return next((suffix for start, suffix in _SIGNATURES if content.startswith(start)), "")


def read_sidecar(content: bytes) -> tuple[dict[str, str], str | None]:
    """(line, camera and time, as far as it says them; what is wrong with it)."""
    try:
        said = json.loads(content, parse_int=float)  # int refuses long ones
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return {}, f"the sidecar is no JSON object of at most {MAX_SIDECAR:,} bytes; expected {_SIDECAR}"
    found = {name: said[name] for name in ("line", "camera", "time") if name in said}
    if wrong := [name for name, value in found.items() if not _is_text(value)]:
        return {}, f"the sidecar's {wrong[0]} is no text of at most 200 characters; expected {_SIDECAR}"
    return found, None


def _is_text(value: object) -> bool:
    """A page can show it: no control characters, no half of a surrogate pair."""
    return isinstance(value, str) and len(value) <= 200 and not re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value)


def unusable_mask(content: bytes, size: tuple[int, int], limits: ValidationSettings) -> str | None:
    """Why these bytes cannot be the mask of a photograph of `size` pixels (after its EXIF orientation), or None."""
    if not content:
        return "its mask is empty"
    try:
        with readable("its mask", "a PNG of 0 (good) and 255 (defect)"), opened(content, ("PNG",)) as mask:
            if mask.size != size:
                return f"its mask has {mask.width}x{mask.height} pixels, the photograph {size[0]}x{size[1]}"
            check_single(mask, "its mask")
            counts = mask.convert("L").histogram()
    except ImageError as error:
        return str(error)
    if any(counts[1:255]):
        return "its mask has grey values between 0 and 255, expected 0 (good) and 255 (defect) only"
    if not counts[255]:
        return "its mask marks nothing; expected 255 on the defect"
    share = counts[255] / (size[0] * size[1])
    if share > limits.max_defect_share:
        return f"its mask marks {share:.0%} of the photograph; is it inverted? (validation.max_defect_share)"
    return None


def unusable(
    content: bytes, suffix: str, bit_depth: int = 8, limits: ValidationSettings = DEFAULT_LIMITS
) -> str | None:
    """Why these bytes cannot train a model, in words for the person who took the photograph; None when they can.

    Nothing passes here that the stage `validate` would refuse: it would block the category.
    """
    if not content:
        return "the file is empty"
    if not suffix:
        return f"the file is no image; expected one of {', '.join(FORMATS)}"
    if _FORMAT[suffix] not in limits.formats:
        return f"the file is {_FORMAT[suffix]}, expected one of {', '.join(limits.formats)} (validation.formats)"
    try:
        image = decode(content, bit_depth=bit_depth)
    except ImageError as error:
        return str(error)
    if min(image.size) < limits.min_side or max(image.size) > limits.max_side:
        size, span = f"{image.width}x{image.height}", f"{limits.min_side} to {limits.max_side}"
        return f"the photograph has {size} pixels, expected {span} on each side (validation.min_side, max_side)"
    return _blank(image.convert("L"), limits)


def _blank(grey: Image.Image, limits: ValidationSettings) -> str | None:
    counts = grey.histogram()
    total = grey.width * grey.height
    if sum(counts[:3]) >= _CLIPPED * total:
        return "the photograph is black; look at the light, the lens cover and the exposure"
    if sum(counts[-3:]) >= _CLIPPED * total or counts[255] > limits.saturated_share * total:
        return "the photograph is white: overexposed; look at the light and the exposure"
    mean = sum(level * count for level, count in enumerate(counts)) / total
    variance = sum((level - mean) ** 2 * count for level, count in enumerate(counts)) / total
    if variance < limits.blank_std**2:
        return f"the photograph shows nothing but one grey (about {mean:.0f}); look at the camera and the focus"
    return None
