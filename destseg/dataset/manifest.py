"""One row per file below a category's folder: where it lies, and what its bytes say."""

import base64
import contextlib
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from destseg.dataset.images import (
    BROKEN,
    FORMATS,
    MASK_FORMATS,
    MAX_PIXELS,
    MODES,
    WORKERS,
    ImageError,
    ImageSettings,
    decode,
    load_mask,
    opened,
)
from destseg.dataset.layout import GOOD, IMAGE_SUFFIXES
from destseg.dataset.remembered import Remembered, remembered

Role = Literal["image", "mask", "stranger", "ignored"]
MASK_SUFFIX = "_mask.png"
_IGNORED = frozenset({"thumbs.db", "desktop.ini"})
_CODE = (Path(__file__), Path(__file__).with_name("images.py"))  # what decides on a file's Content
THUMBNAIL = 32  # pixels of its side
_TOP_TEXTS = frozenset({"license.txt", "readme.txt"})  # MVTec AD ships them in each category's folder
_BAND = 256  # rows of the Laplacian at a time, so that a large image needs little memory


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the bytes of one file say; nothing here depends on where the file lies or what it is called."""

    sha256: str
    bytes: int
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    """Pixels, after the EXIF orientation."""
    height: int | None = None
    error: str | None = None
    """Why the file cannot be decoded, for people."""
    mean: float | None = None
    """Of the grey values (0 to 255), as are `std` and `sharpness`."""
    std: float | None = None
    saturated: float | None = None
    """Share of pixels at 255."""
    sharpness: float | None = None
    """Variance of the Laplacian."""
    thumbnail: str | None = None
    """Images: the grey values of `thumbnail`, as base64."""
    two_values: bool | None = None
    """Masks: whether every pixel is 0 or 255."""
    share: float | None = None
    """Masks: share of defect pixels."""
    scaled_pixels: int | None = None
    """Masks: defect pixels that are left at the model's size."""


@dataclass(frozen=True, kw_only=True)
class Row(Content):
    """One file of the dataset. `path` is relative to the category's folder, with forward slashes."""

    path: str
    split: str
    """The first folder of the path (train, test, ground_truth), or empty."""
    kind: str
    """The second folder (good or a defect type), or empty."""
    role: Role
    partner: str | None = None
    """Path of an image's mask, or of a mask's image, where that exists."""
    same_size: bool | None = None
    """Masks: whether the image has the same width and height."""

    @property
    def name(self) -> str:
        """The path as text that can be written anywhere: bytes that are not UTF-8 are shown escaped."""
        return self.path.encode("utf-8", "backslashreplace").decode()


def manifest(directory: Path, image: ImageSettings) -> list[Row]:
    """The rows of all files below `directory`, sorted by path; each content is decoded once, on all cores."""
    paths = sorted(_files(directory))
    roles = [role(path) for path in paths]

    def measured(index: int) -> Content:
        return measure(directory / paths[index], roles[index], image, known)

    with remembered("contents", *_CODE) as known, ThreadPoolExecutor(WORKERS) as pool:
        contents = list(_reported(pool.map(measured, range(len(paths))), len(paths), directory))
    rows = [_row(path, kind, content) for path, kind, content in zip(paths, roles, contents, strict=True)]
    return _paired(rows)


def role(path: str) -> Role:
    """What MVTec's layout makes of a path: train/good/*, test/<kind>/*, ground_truth/<kind>/*_mask.png."""
    parts = PurePosixPath(path).parts
    if parts[-1].startswith(".") or parts[-1].lower() in _IGNORED or path.lower() in _TOP_TEXTS:
        return "ignored"
    if len(parts) != 3 or parts[1].startswith(".") or path != path.encode("utf-8", "backslashreplace").decode():
        return "stranger"
    split, kind, file = parts
    if split == "ground_truth":
        return "mask" if file.endswith(MASK_SUFFIX) else "stranger"
    known = (split == "train" and kind == GOOD) or split == "test"
    return "image" if known and PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES else "stranger"


def measure(path: Path, role: Role, image: ImageSettings, known: Remembered | None = None) -> Content:
    """Reads one file: its hash, and for images and masks what is in it. Never raises for what the file holds."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            return Content(sha256="", bytes=0, error="is no regular file")
        data = path.read_bytes()
    except OSError as error:  # a dangling link, no permission, no file at all
        return Content(sha256="", bytes=0, error=f"cannot be read ({error.strerror})")
    content = Content(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    if role not in ("image", "mask"):
        return content
    key = f"{content.sha256} {role} {image.bit_depth if role == 'image' else image.size}"
    if known and (seen := known.get(key)):
        with contextlib.suppress(TypeError):  # damaged
            return Content(**seen)
    if role == "image":
        content = _decoded(content, data, lambda found: _image_facts(found, data, image))
    else:
        content = _decoded(content, data, lambda found: _mask_facts(found, data, image))
    if known:
        known.put(key, asdict(content))
    return content


def _decoded(content: Content, data: bytes, facts: Callable[[Image.Image], dict[str, float | bool | str]]) -> Content:
    """`content` with the facts of its header and pixels, or with the error that names what is wrong."""
    if not data:
        return replace(content, error="is empty (0 bytes)")
    try:
        with opened(data) as image:
            known = "JPEG" if image.format == "MPO" else image.format  # a JPEG file with several pictures
            content = replace(content, format=known, mode=image.mode, width=image.width, height=image.height)
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"has {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,}")
            return replace(content, **facts(image))  # type: ignore[arg-type]  # names and types match Content's
    except UnidentifiedImageError:
        return replace(content, error=f"holds no image of a known format; expected one of {', '.join(FORMATS)}")
    except ImageError as error:
        return replace(content, error=re.sub("^image ", "", str(error)))
    except Image.DecompressionBombError:
        return replace(content, error=f"has far more than {MAX_PIXELS:,} pixels")
    except BROKEN as error:
        return replace(content, error=f"cannot be decoded ({error})")


def _image_facts(found: Image.Image, data: bytes, image: ImageSettings) -> dict[str, float | bool | str]:
    if found.mode not in MODES:
        return {}  # the mode says it; `decode` would refuse it too
    grey = decode(data, bit_depth=image.bit_depth).convert("L")
    counts = np.array(grey.histogram(), dtype=np.float64)
    levels = np.arange(256)
    mean = float(counts @ levels / counts.sum())
    return {
        "width": grey.width,
        "height": grey.height,
        "mean": mean,
        "std": float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum())),
        "saturated": float(counts[255] / counts.sum()),
        "sharpness": sharpness(np.asarray(grey)),
        "thumbnail": base64.b64encode(thumbnail(grey).tobytes()).decode(),
    }


def _mask_facts(found: Image.Image, data: bytes, image: ImageSettings) -> dict[str, float | bool | str]:
    if found.format not in MASK_FORMATS:
        raise ImageError(f"is {found.format}, expected a mask as PNG, 0 (good) and 255 (defect)")
    counts = np.array(found.convert("L").histogram())
    return {
        "two_values": not counts[1:255].any(),
        "share": float(counts[128:].sum() / counts.sum()),
        "scaled_pixels": int(load_mask(data, image.size).sum()),
    }


def thumbnail(grey: Image.Image) -> np.ndarray:
    """uint16 [THUMBNAIL, THUMBNAIL]: 16 times the grey values of the image stretched to that size."""
    small = np.asarray(grey.resize((4 * THUMBNAIL, 4 * THUMBNAIL), Image.Resampling.BILINEAR))
    sums: np.ndarray = small.reshape(THUMBNAIL, 4, THUMBNAIL, 4).sum(axis=(1, 3), dtype=np.uint16)
    return sums


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian of uint8 [H, W] (Pech-Pacheco et al. 2000), 0 for less than 3x3 pixels."""
    height, width = grey.shape
    if height < 3 or width < 3:
        return 0.0
    total, squares = 0, 0  # whole numbers: exact, whatever the bands
    for top in range(1, height - 1, _BAND):
        band = grey[top - 1 : min(top + _BAND, height - 1) + 1].astype(np.int16)
        laplacian = band[:-2, 1:-1] + band[2:, 1:-1] + band[1:-1, :-2] + band[1:-1, 2:] - 4 * band[1:-1, 1:-1]
        total += int(laplacian.sum(dtype=np.int64))
        squares += int(np.square(laplacian, dtype=np.int32).sum(dtype=np.int64))
    count = (height - 2) * (width - 2)
    return float((squares - total**2 / count) / count)


def _files(directory: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]  # into which it does not go
        for name in [*names, *links]:
            yield (Path(folder) / name).relative_to(directory).as_posix()


def _reported(contents: Iterator[Content], count: int, directory: Path) -> Iterator[Content]:
    """`contents`, with a line in the log every 5 seconds."""
    logger, due = logging.getLogger(__name__), time.monotonic() + 5
    for done, content in enumerate(contents, start=1):
        if time.monotonic() > due:
            logger.info("%s: %d of %d files read", directory, done, count)
            due = time.monotonic() + 5
        yield content


def _row(path: str, role: Role, content: Content) -> Row:
    parts = PurePosixPath(path).parts
    split, kind = (parts[0], parts[1]) if len(parts) > 2 else (parts[0] if len(parts) == 2 else "", "")
    return Row(path=path, split=split, kind=kind, role=role, **asdict(content))


def _paired(rows: list[Row]) -> list[Row]:
    """The rows with images and masks tied to each other: test/<kind>/x.* and ground_truth/<kind>/x_mask.png."""
    masks = {row.path: row for row in rows if row.role == "mask"}
    images = {mask_path(row): row for row in reversed(rows) if row.role == "image" and row.split == "test"}
    paired = []
    for row in rows:
        if row.role == "image" and row.split == "test" and mask_path(row) in masks:
            row = replace(row, partner=mask_path(row))
        elif row.role == "mask" and (image := images.get(row.path)):
            known = row.width is not None and image.width is not None
            same = (row.width, row.height) == (image.width, image.height) if known else None
            row = replace(row, partner=image.path, same_size=same)
        paired.append(row)
    return paired


def mask_path(row: Row) -> str:
    """Where the mask of a test image belongs."""
    return f"ground_truth/{row.kind}/{PurePosixPath(row.path).stem}{MASK_SUFFIX}"
