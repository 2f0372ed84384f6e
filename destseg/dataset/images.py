"""An image file to uint8 RGB of the model's size: the one preprocessing of training, evaluation and the line."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from destseg import Error
from destseg.ahead import ahead

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
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


def decode(source: Source, *, bit_depth: int = 8) -> Image.Image:
    """The photograph as 8-bit RGB, turned as its EXIF orientation says; an ImageError says what is wrong with it."""
    name = str(source) if isinstance(source, Path) else "image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours and stricter
            image: Image.Image = Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(f"{name} has {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,}")
        if image.mode.startswith("I") or image.mode == "F":
            image = _from_deep(image, bit_depth, name)
        elif image.mode not in MODES:
            raise ImageError(f"{name} has colour mode {image.mode}, expected grey or RGB without transparency")
        return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS:,} pixels") from None
    except BROKEN as error:
        raise ImageError(f"{name} cannot be decoded ({error}); expected one of {', '.join(FORMATS)}") from None


def _from_deep(image: Image.Image, bit_depth: int, name: str) -> Image.Image:
    values = np.asarray(image)
    top = 2**bit_depth - 1
    if image.mode == "F" or values.min() < 0 or values.max() > top:
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
    file = source if isinstance(source, Path) else io.BytesIO(source)
    try:
        with Image.open(file, formats=("PNG", "BMP", "TIFF")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{name} has {image.width}x{image.height} pixels, expected at most {MAX_PIXELS:,}")
            grey = image.convert("L").resize((size, size), Image.Resampling.BILINEAR)
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist; every defect image needs its mask") from None
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ImageError(f"{name} cannot be decoded ({error}); expected an 8-bit PNG, 0 and 255") from None
    return np.asarray(grey) >= 127.5
