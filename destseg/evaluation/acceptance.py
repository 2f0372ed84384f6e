"""What challenger and champion are compared on: the test set, or synthetic defects where that has no defect image."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from destseg import Error, files
from destseg.dataset import textures
from destseg.dataset.accepted import accepted_path, read_accepted
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import GOOD, Sample, dataset_dir, samples
from destseg.dataset.splits import SplitSettings, is_calibration
from destseg.dataset.textures import TextureSettings
from destseg.evaluation.scored import SYNTHETIC
from destseg.settings import PARAMS, read_section
from destseg.training.synthesis import Batch, Synthesis, SynthesisSettings, seeded

SEED = 0  # not that of params.yaml: what a model is judged on does not change with how it is trained
EACH = 32  # synthetic defect images of each kind
SOURCES = 128  # normal images that they are made of at most, held decoded
TEXTURES = 64
_BATCH = 8
_TRIES = 20  # times EACH images are drawn before the settings are said to give no defect
# Foreign matter on the surface, and flaws in the surface itself: the share of defects filled with the product's own.
KINDS = {"texture": 0.0, "surface": 1.0}


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """The images of a comparison, by name."""

    samples: list[Sample]
    synthetic: bool
    """Whether the defects are made: by the training's own synthesis, from draws that no training makes."""


def acceptance(category: str, folder: Path, root: Path = Path()) -> Acceptance:
    """The acceptance set of the dataset in `root`; what has to be made for it is written below `folder`."""
    directory = dataset_dir(category, root)
    tested = samples(directory, "test") if (directory / "test").is_dir() else []
    if any(sample.kind != GOOD for sample in tested):
        return Acceptance(samples=_sorted(tested), synthetic=False)
    held_out = _held_out(category, root)
    normals = [sample for sample in tested if sample.kind == GOOD]
    if not normals + held_out:
        raise Error(
            f"{directory} has no image in test/ and no held-out normal image to put synthetic defects on; add images "
            f"to test/, or raise split.calibration_share"
        )
    made = _synthetic(category, [sample.path for sample in normals + held_out], folder, root)
    # Those that a threshold was taken from say little of it, so they count as good images only where there is no other.
    return Acceptance(samples=_sorted([*(normals or held_out), *made]), synthetic=True)


def _held_out(category: str, root: Path) -> list[Sample]:
    """The calibration part: as validated if this was, else by the images' content."""
    directory = dataset_dir(category, root)
    if accepted_path(category, root).is_file():
        accepted = read_accepted(category, root)
        return [_train(path) for path in accepted.paths(accepted.calibration, root)]
    share = read_section("split", SplitSettings, category=category, path=root / PARAMS).calibration_share
    normals = [sample for sample in samples(directory, "train") if sample.kind == GOOD]
    return [sample for sample in normals if is_calibration(files.sha256(sample.path), share)]


def _train(path: Path) -> Sample:
    return Sample(path=path, split="train", kind=GOOD)


def _synthetic(category: str, normals: list[Path], folder: Path, root: Path) -> list[Sample]:
    image = read_section("image", ImageSettings, category=category, path=root / PARAMS)
    own = read_section("synthesis", SynthesisSettings, category=category, path=root / PARAMS)
    # Whole images as they are: what lies outside of a turned one would be a second defect.
    settings = replace(own, crop=None, flips="none", quarter_turns=False, max_degrees=0.0)
    spread = np.unique(np.linspace(0, len(normals) - 1, min(SOURCES, len(normals))).round().astype(int))
    pictures = load_all([normals[index] for index in spread], image)
    # `builtin`, for a folder of textures need not be on this machine, and all comparisons have the same.
    fillings = textures.load(TextureSettings(count=TEXTURES), image.size, SEED)
    found = []
    for kind, share in KINDS.items():
        generator = seeded(SEED, f"{category}/acceptance/{kind}")
        source = Synthesis(pictures, fillings, replace(settings, own_share=share), generator)
        for number, (damaged, mask) in zip(range(EACH), _defects(source, category), strict=False):
            found.append(_write(folder, kind, number, damaged, mask))
    return found


def _defects(source: Synthesis, category: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Damaged images uint8 [S, S, 3] with their masks bool [S, S]; draws without a defect are left out."""
    found = 0
    for _ in range(_TRIES * EACH // _BATCH):
        batch: Batch = source.batch(_BATCH)
        for damaged, mask in zip(batch.damaged, batch.mask[:, 0] > 0, strict=True):
            if mask.any():
                found += 1
                yield damaged.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0), mask
    if found < EACH:
        raise Error(
            f"{_TRIES * EACH} synthetic defects of {category} gave {found} with a defective pixel, expected {EACH}; "
            f"lower synthesis.mask_threshold in params.yaml"
        )


def _write(folder: Path, kind: str, number: int, damaged: torch.Tensor, mask: torch.Tensor) -> Sample:
    path, truth = folder / SYNTHETIC / kind / f"{number:03}.png", folder / "truth" / kind / f"{number:03}.png"
    for place, pixels in ((path, damaged.numpy()), (truth, mask.numpy().astype(np.uint8) * 255)):
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    return Sample(path=path, split=SYNTHETIC, kind=kind, mask=truth)


def _sorted(found: list[Sample]) -> list[Sample]:
    return sorted(found, key=lambda sample: sample.name)
