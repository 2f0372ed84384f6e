"""Real textures with painted defects: crops of scikit-image's brick, grass and gravel as MVTec-format categories."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import data

from destseg.dataset.demo.field import UNITS, Field, Grid, blob, curve, ramp, strokes, turbulence

PHOTOGRAPHS: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "brick": data.brick,
    "grass": data.grass,
    "gravel": data.gravel,
}
SIZE = 128  # pixels a side of a crop
TRAIN_ROWS = 320  # of the photograph's 512: normal images for training come from above, the test set from below
NORMALS, TEST_NORMALS, DEFECTS = 80, 24, 12  # crops; of the defects, for each kind

Painted = tuple[Field, NDArray[np.bool_]]  # the crop with its defect, and the defect's pixels


def write(out: Path, name: str, *, seed: int = 0) -> None:
    """The category `name` of PHOTOGRAPHS below `out`, a new folder; the same seed paints the same defects."""
    photograph = PHOTOGRAPHS[name]().astype(np.float32)
    rng = np.random.default_rng([seed, *name.encode()])

    taken = set[tuple[int, int]]()

    def crop(first: int, last: int) -> Field:
        while True:  # until it is a place that was not cut out before: a dataset holds no image twice
            row, column = int(rng.integers(first, last - SIZE + 1)), int(rng.integers(photograph.shape[1] - SIZE + 1))
            if (row, column) not in taken:
                taken.add((row, column))
                return photograph[row : row + SIZE, column : column + SIZE]

    for index in range(NORMALS):
        _save(out / "train" / "good" / f"{index:03}.png", crop(0, TRAIN_ROWS))
    for index in range(TEST_NORMALS):
        _save(out / "test" / "good" / f"{index:03}.png", crop(TRAIN_ROWS, len(photograph)))
    for kind, paint in KINDS.items():
        for index in range(DEFECTS):
            image, mask = paint(rng, crop(TRAIN_ROWS, len(photograph)))
            _save(out / "test" / kind / f"{index:03}.png", image)
            _save(out / "ground_truth" / kind / f"{index:03}_mask.png", mask * 255.0)


def _scratch(rng: np.random.Generator, crop: Field) -> Painted:
    start = (rng.uniform(40, 216), rng.uniform(40, 216))
    line = curve(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(40, 110), bend=0.5)
    groove = strokes(crop.shape, [line], rng.uniform(2, 5), 0.8)
    depth = rng.uniform(0.45, 0.8)
    return (crop * (1 - depth * groove) if rng.random() < 0.6 else crop + (235 - crop) * depth * groove), groove > 0.3


def _pit(rng: np.random.Generator, crop: Field) -> Painted:
    cover = ramp(_patch(rng, crop, rng.uniform(5, 12), rough=0.15), -0.5, 1.5)
    return crop * (1 - cover) + rng.uniform(10, 50) * cover, cover > 0.3


def _stain(rng: np.random.Generator, crop: Field) -> Painted:
    cover = ramp(_patch(rng, crop, rng.uniform(15, 35), rough=0.3), -2, 3)
    cover = np.clip(cover * (0.85 + 0.15 * turbulence(rng, crop.shape, 12, 2)), 0, 1)
    return crop * (1 - rng.uniform(0.3, 0.55) * cover), cover > 0.3


def _smear(rng: np.random.Generator, crop: Field) -> Painted:
    cover = ramp(_patch(rng, crop, rng.uniform(15, 35), rough=0.2), -1, 2)
    return crop + (ndimage.gaussian_filter(crop, rng.uniform(3, 6)) - crop) * cover, cover > 0.3


def _patch(rng: np.random.Generator, crop: Field, radius: float, *, rough: float) -> Field:
    axis = ((np.arange(len(crop)) + 0.5) * (UNITS / len(crop))).astype(np.float32)
    centre = (rng.uniform(40, 216), rng.uniform(40, 216))
    return blob(rng, Grid(*np.meshgrid(axis, axis)), centre, radius, rough=rough)


KINDS: dict[str, Callable[[np.random.Generator, Field], Painted]] = {
    "scratch": _scratch,
    "pit": _pit,
    "stain": _stain,
    "smear": _smear,
}


def _save(path: Path, pixels: NDArray[np.floating]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8)).save(path)
