"""An image file to uint8 RGB of the model's size: the one preprocessing of training, evaluation and the line."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from destseg import Error
from destseg.ahead import ahead

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MASK_FORMATS = ("PNG", "BMP", "TIFF")
MODES = ("1", "L", "P", "RGB", "I", "I;16", "I;16B", "I;16L")  # Pillow's names of grey and RGB without transparency
MAX_PIXELS = 64_000_000
WORKERS = min(8, os.cpu_count() or 1)  # files decoded at once; each may hold MAX_PIXELS
Source = bytes | Path
# What Pillow's decoders, and its reader of EXIF, were seen to raise on broken files.
BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AssertionError,
    struct.error,
    zlib.error,
)


class ImageError(Error):
    """An image that cannot be used, and why."""


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """How photographs become the network's input."""

    size: int = 256
    """Side of the square input in pixels, a multiple of 32 (section 4.1: 256)."""
    bit_depth: int = 8
    """Bits a sample of a camera's 16-bit files really has (8 to 16); 8-bit files are taken as they are."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 32:
            raise ValueError(f"size is {self.size}, expected a multiple of 32 from 64 up")
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth is {self.bit_depth}, expected 8 to 16")


@contextmanager
def readable(name: str, expected: str) -> Iterator[None]:
    """What Pillow raises on a broken file, as an ImageError."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels") from None
    except BROKEN as error:
        said = str(error) if isinstance(error, OSError | SyntaxError | ValueError) else ""
        if isinstance(error, UnidentifiedImageError):
            said = "its header is damaged, or of no image"
        raise ImageError(f"{name} cannot be decoded ({said or 'the file is damaged'}); expected {expected}") from None


def opened(source: Source, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """The file's picture, its pixels not yet read."""
    # Pillow warns of sizes, where MAX_PIXELS is stricter, and of tags that it does without: nothing for the person who
    # sent the file. A filter of the whole process, as `warnings.catch_warnings` is not for threads.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=formats)


def check_single(image: Image.Image, name: str) -> None:
    """An ImageError when the file has too many pixels, or several pictures of which only the first would be seen."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name} has {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,}")
    if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO: a JPEG with its preview behind it
        raise ImageError(f"{name} holds several pictures (pages or an animation), expected one in a file")


def decode(source: Source, *, bit_depth: int = 8) -> Image.Image:
    """The photograph as 8-bit RGB, turned as its EXIF orientation says; an ImageError says what is wrong with it."""
    name = str(source) if isinstance(source, Path) else "image"
    with readable(name, f"one of {', '.join(FORMATS)}"):
        image = opened(source)
        check_single(image, name)
        if image.mode not in (*MODES, "F"):
            raise ImageError(f"{name} has colour mode {image.mode}, expected grey or RGB without transparency")
        if "transparency" in image.info:
            raise ImageError(f"{name} has a transparent colour, expected grey or RGB without transparency")
        if bit_depth < 16 and image.mode == "RGB" and _is_deep(image):  # Pillow keeps the upper 8 bits
            raise ImageError(
                f"{name} has 16-bit colour, of which only the upper 8 bits can be read; expected 8-bit colour or "
                f"16-bit grey, or image.bit_depth 16 in params.yaml where the camera uses all 16 bits"
            )
        if image.mode.startswith("I") or image.mode == "F":
            image = _from_deep(image, bit_depth, name)
        return ImageOps.exif_transpose(image).convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    """Whether an RGB file has 16 bits a sample, which Pillow's mode does not say."""
    bits = getattr(image, "tag_v2", {}).get(258, (8,))  # TIFF: BitsPerSample
    return max(bits) > 8 or any(";16" in str(tile) for tile in getattr(image, "tile", ()))


def _from_deep(image: Image.Image, bit_depth: int, name: str) -> Image.Image:
    if image.mode == "F":
        raise ImageError(f"{name} has floating-point values, expected whole numbers of 8 to 16 bits")
    values = np.asarray(image)
    top = 2**bit_depth - 1
    if values.min() < 0 or values.max() > top:
        raise ImageError(
            f"{name} has values from {values.min()} to {values.max()}, expected 0 to {top}; "
            f"set image.bit_depth in params.yaml to what the camera gives"
        )
    return Image.fromarray(np.round(values * (255.0 / top)).astype(np.uint8))


def load(source: Source, settings: ImageSettings) -> np.ndarray:
    """uint8 RGB [size, size, 3], resized by Pillow's bilinear filter."""
    image = decode(source, bit_depth=settings.bit_depth)
    return np.asarray(image.resize((settings.size, settings.size), Image.Resampling.BILINEAR))


def load_all(sources: Sequence[Source], settings: ImageSettings) -> "Tensor":
    """uint8 [N, 3, size, size] of many files, decoded on all cores (Pillow releases the GIL)."""
    import torch  # 3 s that validation and ingest, which need no tensors, do without

    out = np.empty((len(sources), 3, settings.size, settings.size), np.uint8)
    with ThreadPoolExecutor(WORKERS) as pool:
        for index, image in enumerate(pool.map(lambda source: load(source, settings), sources)):
            out[index] = image.transpose(2, 0, 1)  # numpy's: torch would start threads that the network's wait for
    return torch.from_numpy(out)


def batches(sources: Iterable[Source], settings: ImageSettings, size: int) -> Generator["Tensor", None, None]:
    """uint8 [up to `size`, 3, S, S], in order; a thread decodes the next batch while the caller works on this one.

    `sources` is read, in that thread, at most one batch ahead. An error comes after all the batches before it.
    """
    waiting = iter(sources)
    chunks = iter(lambda: list(islice(waiting, size)), [])
    return ahead(load_all(chunk, settings) for chunk in chunks)


def load_mask(source: Source, size: int) -> np.ndarray:
    """bool [size, size]: the mask resized bilinearly, then >= 0.5 (the rule beside every metric)."""
    name = str(source) if isinstance(source, Path) else "image"
    if isinstance(source, Path) and not source.exists():
        raise ImageError(f"{name} does not exist; every defect image needs its mask")
    with readable(name, "an 8-bit PNG, 0 and 255"), opened(source, MASK_FORMATS) as image:
        check_single(image, name)
        grey = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(grey) >= 127.5
