"""Photographs as a person has them, and settings that train in seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from destseg.presets.preset import load
from destseg.trial.settings import PRESET

NORMALS = 24
COMPACT = load(PRESET).sections
SMALL: dict[str, dict[str, Any]] = {
    **COMPACT,
    "image": {"size": 64},
    "texture": {"count": 8},
    "student": {**COMPACT["student"], "steps": 4, "batch": 2},
    "segmentation": {**COMPACT["segmentation"], "steps": 4, "batch": 2, "width": 8},
}


def photograph(path: Path, seed: int, *, coloured: bool = False, defect: bool = False) -> Path:
    """Noise of 80x72 pixels, unlike any other; a defect is a bright square, with its mask in MVTec's layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 160, (72, 80, 3 if coloured else 1), dtype=np.uint8)
    if defect:
        pixels[20:44, 24:52] = 250
        mask = np.zeros((72, 80), np.uint8)
        mask[20:44, 24:52] = 255
        truth = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(truth)
    Image.fromarray(pixels.squeeze()).save(path)
    return path


def normals(folder: Path, **options: bool) -> Path:
    """NORMALS photographs of good parts."""
    for number in range(NORMALS):
        photograph(folder / f"{number:03}.png", number, **options)
    return folder


def dataset(folder: Path) -> Path:
    """The same in MVTec's layout, with four test images of good parts and four of dents."""
    normals(folder / "train/good", coloured=True)
    for number in range(4):
        photograph(folder / f"test/good/{number}.png", 100 + number, coloured=True)
        photograph(folder / f"test/dent/{number}.png", 200 + number, coloured=True, defect=True)
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a person without a repository, and with nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESTSEG_CACHE")
    return tmp_path
