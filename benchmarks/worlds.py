"""The products that quality is measured on, each written as a category in MVTec's layout, and what is known of them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import painted
from destseg import Error
from destseg.dataset.demo import render_dataset

Settings = dict[str, dict[str, Any]]
SOLAR = ("elpv_mono", "elpv_poly")
# What the product is, which its user knows before anything is measured.
SETTINGS: dict[str, Settings] = {
    "screw": {"image": {"size": 512}, "synthesis": {"crop": 256, "quarter_turns": True, "grey": True}},
    "magnetic_tile": {"synthesis": {"crop": 128, "flips": "both", "grey": True}},
    "brick": {"image": {"size": 128}, "synthesis": {"grey": True}},
    "grass": {"image": {"size": 128}, "synthesis": {"grey": True}},
    "gravel": {"image": {"size": 128}, "synthesis": {"grey": True}},
    "washer": {"synthesis": {"crop": 128}},
    "fabric": {"synthesis": {"crop": 128}},
    "elpv_mono": {"synthesis": {"flips": "both", "grey": True}},
    "elpv_poly": {"synthesis": {"flips": "both", "grey": True}},
}


def write(name: str, out: Path, given: Path) -> None:
    """The category `name` as the new folder `out`; `given` holds those that are photographs, each in MVTec's layout.

    The solar cells (ELPV, CC BY-NC-SA) come with the package elpv-dataset, which is not a dependency: an Error where it
    is not installed. They have no masks, so that a square in the middle stands for one.
    """
    if name in painted.PHOTOGRAPHS:
        painted.write(out, name)
    elif name in SOLAR:
        _write_cells(out, name.removeprefix("elpv_"))
    elif (given / name / "train" / "good").is_dir():
        shutil.copytree(given / name, out)
    elif name in ("washer", "fabric"):
        render_dataset(out, name, normals=60, test_normals=20, defects_per_kind=6, size=256)
    else:
        raise Error(f"{given / name} has no train/good; expected a category in MVTec's layout")


def _write_cells(out: Path, kind: str) -> None:
    """Cells without a defect, half of them to train on, and those that are defective for certain."""
    try:
        from elpv_dataset.utils import load_dataset  # type: ignore[import-not-found,unused-ignore]  # optional
    except ImportError:
        raise Error("the solar cells need the package elpv-dataset: `pip install elpv-dataset`") from None
    images, probability, kinds = load_dataset()
    normal, defective = (np.flatnonzero((kinds == kind) & (probability == value)) for value in (0, 1))
    normal = np.random.default_rng(0).permutation(normal)
    half = len(normal) // 2
    for folder, chosen in (("train/good", normal[:half]), ("test/good", normal[half:]), ("test/defective", defective)):
        (out / folder).mkdir(parents=True)
        for index in chosen:
            Image.fromarray(images[index]).save(out / folder / f"{index:04}.png")
    (out / "ground_truth/defective").mkdir(parents=True)
    for index in defective:
        square = np.zeros_like(images[index])
        square[100:200, 100:200] = 255
        Image.fromarray(square).save(out / "ground_truth/defective" / f"{index:04}_mask.png")
