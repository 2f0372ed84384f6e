"""A small dataset in MVTec's layout, for the tests to break."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NORMALS = 24


def photograph(path: Path, seed: int, *, size: tuple[int, int] = (64, 64)) -> Path:
    """A grey image of noise; no two seeds give the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 250, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(path: Path, *, side: int = 16, size: tuple[int, int] = (64, 64)) -> Path:
    """A mask whose upper left square marks the defect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, dtype=np.uint8)
    pixels[:side, :side] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a repository with the category `tile`: 24 images in train/good, 3 in test/good, 3 in test/dent."""
    (tmp_path / "params.yaml").write_text("image: {size: 64}\ncategories: {tile: {}}\n")
    directory = tmp_path / "data/mvtec/tile"
    for number in range(NORMALS):
        photograph(directory / f"train/good/{number:03}.png", number)
    for number in range(3):
        photograph(directory / f"test/good/{number:03}.png", 100 + number)
        photograph(directory / f"test/dent/{number:03}.png", 200 + number)
        mask(directory / f"ground_truth/dent/{number:03}_mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dataset(repository: Path) -> Path:
    """The folder of the category `tile`."""
    return repository / "data/mvtec/tile"
