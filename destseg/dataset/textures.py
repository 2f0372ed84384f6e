"""What the synthesis blends into normal images: the images of a folder (the paper: DTD), or procedural textures."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from destseg import Error
from destseg.dataset import images
from destseg.dataset.layout import IMAGE_SUFFIXES
from destseg.dataset.procedural import Image, render

Read = Callable[[Sequence[Path], images.ImageSettings], Tensor]


@dataclass(frozen=True, kw_only=True)
class TextureSettings:
    """Where the textures of the synthetic defects come from."""

    source: Literal["builtin", "folder"] = "builtin"
    """`builtin` renders procedural textures and needs no download; `folder` reads every image below `path`."""
    path: str | None = None
    """The folder of `folder`, for example an unpacked DTD (section 4.1)."""
    count: int = 512
    """How many textures `builtin` renders; a `folder` gives all it has."""

    def __post_init__(self) -> None:
        if self.source == "folder" and not self.path:
            raise ValueError("source is folder and path is not set, expected the folder of texture images")
        if self.count < 1:
            raise ValueError(f"count is {self.count}, expected 1 or more")


def load(settings: TextureSettings, size: int, seed: int, read: Read = images.load_all) -> Tensor:
    """uint8 [N, 3, size, size]; an Error when the folder is missing, holds no image, or one of them is broken.

    `read` decodes the images of a folder.
    """
    if settings.source == "folder":
        return read(_found(Path(settings.path or "")), images.ImageSettings(size=size))
    return _rendered(settings.count, size, seed)


@functools.lru_cache(maxsize=1)  # both trainings of one process have the same
def _rendered(count: int, size: int, seed: int) -> Tensor:
    # Each texture once: the synthesis gains from many kinds, not from many photographs of one.
    return stacked(lambda number: render(number, 0, size=size, seed=seed), count, size)


def stacked(image: Callable[[int], Image], count: int, size: int) -> Tensor:
    """uint8 [count, 3, size, size] of image(0) to image(count - 1), made on all cores."""
    out = torch.empty((count, 3, size, size), dtype=torch.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, pixels in enumerate(pool.map(image, range(count))):
            out[index] = torch.from_numpy(pixels).permute(2, 0, 1)
    return out


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise Error(
            f"texture.path: {folder} is not a folder; put texture images there or set texture.source to builtin"
        )
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise Error(f"texture.path: no image below {folder}, expected files that end in one of {known}")
    return found
