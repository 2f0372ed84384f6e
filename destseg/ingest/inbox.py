"""What waits in inbox/<category>/, and which of it is a usable photograph. Nothing here changes the inbox."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from destseg.dataset.images import FORMATS, ImageError, decode
from destseg.files import replacing
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


@dataclass(frozen=True, kw_only=True)
class Photograph:
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


def prefix(category: str) -> str:
    """Where photographs of the category arrive in the bucket."""
    return f"inbox/{category}/"


def waiting(bucket: str, category: str) -> list[s3.Object]:
    """The objects of the inbox, the oldest first; folder markers are none."""
    found = (item for item in s3.list_objects(bucket, prefix(category)) if not item.key.endswith("/"))
    return sorted(found, key=lambda item: (item.modified, item.key))


def read(
    bucket: str,
    objects: Sequence[s3.Object],
    *,
    folder: Path,
    max_bytes: int,
    bit_depth: int,
    limits: ValidationSettings,
) -> Iterator[Photograph]:
    """Each object judged, in their order, its bytes kept in `folder`; an object that has gone meanwhile is left out."""

    def judge(item: s3.Object) -> Photograph | None:
        return _judge(bucket, item, folder, max_bytes, bit_depth, limits)

    told = time.monotonic()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for done, photograph in enumerate(pool.map(judge, objects), start=1):
            if time.monotonic() - told > 5 or done == len(objects):
                told = time.monotonic()
                logger.info("%d of %d photographs read from the inbox", done, len(objects))
            if photograph is not None:
                yield photograph


def _judge(
    bucket: str, item: s3.Object, folder: Path, max_bytes: int, bit_depth: int, limits: ValidationSettings
) -> Photograph | None:
    modified = item.modified.isoformat()
    try:
        content, etag = s3.download(bucket, item.key, max_bytes)
    except s3.MissingObject:
        return None
    except s3.ObjectTooLarge:
        too_large = f"the file has {item.size:,} bytes, expected at most {max_bytes:,} (ingest.max_bytes)"
        return Photograph(key=item.key, modified=modified, etag=item.etag, size=item.size, reason=too_large)
    sha256 = hashlib.sha256(content).hexdigest()
    suffix = next((suffix for start, suffix in _SIGNATURES if content.startswith(start)), "")
    reason = unusable(content, suffix, bit_depth, limits)
    file = None
    if reason is None:
        file = folder / f"{sha256}{suffix}"
        with replacing(file) as fresh:  # the same photograph may be read twice at once
            fresh.write_bytes(content)
    return Photograph(
        key=item.key,
        modified=modified,
        etag=etag,
        size=len(content),
        sha256=sha256,
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),  # what DVC knows a file by
        suffix=suffix,
        file=file,
        reason=reason,
    )


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
