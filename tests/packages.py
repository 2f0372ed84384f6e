"""Small packaged models and datasets for tests: random weights, real files, thresholds from real scores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from destseg.evaluation.calibrate import CalibrationSettings, calibrate
from destseg.files import sha256
from destseg.inference.package import write_model
from destseg.inference.predictor import Predictor
from destseg.model.calibration import Calibration
from destseg.model.card import CARD, ModelCard
from destseg.model.network import DeSTSeg
from destseg.model.weights import MODEL, save_weights

SIZE = 64


def write_package(
    folder: Path, held_out: Sequence[Path], *, seed: int = 0, size: int = SIZE, category: str = "plate"
) -> Path:
    """A package whose weights are random; its threshold comes from the images `held_out`, None without any."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    save_weights(folder / MODEL, DeSTSeg(8, encoder_decoder=False))
    card = ModelCard(
        category=category,
        size=size,
        bit_depth=8,
        segmentation_width=8,
        encoder_decoder=False,
        teacher={"source": "formula", "sha256": "5" * 64},
        calibration=None,
        training_images="1" * 64,
        destseg="0.1.0",
        files={MODEL: sha256(folder / MODEL)},
    )
    (folder / CARD).write_text(card.to_json(), encoding="utf-8")
    if held_out:
        found = list(Predictor.load(folder).predict(list(held_out)))
        scores, maps = np.array([one.score for one in found]), np.stack([one.map for one in found])
        calibrated = {**vars(card), "calibration": calibrate(scores, maps, CalibrationSettings())}
        (folder / CARD).write_text(ModelCard(**calibrated).to_json(), encoding="utf-8")
    return folder


CALIBRATION = Calibration(
    threshold=0.4,
    target_rate=0.01,
    provable_rate=0.53,
    confidence=0.95,
    images=4,
    heat_low=0.05,
    heat_high=0.575,
    scores=(0.1, 0.2, 0.3, 0.4),
)


def write_exported(folder: Path, category: str = "plate") -> Path:
    """A package with all that `destseg package` writes, its threshold by CALIBRATION; the export takes seconds.

    Without the encoder-decoder, which makes a package of 220 MB that each test would copy and hash.
    """
    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    card = ModelCard(
        category=category,
        size=SIZE,
        bit_depth=8,
        segmentation_width=8,
        encoder_decoder=False,
        teacher={"source": "formula", "sha256": "5" * 64},
        calibration=CALIBRATION,
        training_images="",
        destseg="0.1.0",
    )
    write_model(folder, DeSTSeg(8, encoder_decoder=False), card, torch.zeros((2, 3, SIZE, SIZE), dtype=torch.uint8))
    return folder


def photograph(path: Path, rng: np.random.Generator, *, defect: bool = False) -> Path:
    """A grey plate of 100x80 pixels; a bright square and the mask of it for a defect, in MVTec's layout."""
    pixels = rng.integers(90, 130, (80, 100)).astype(np.uint8)
    if defect:
        mask = np.zeros_like(pixels)
        mask[20:50, 30:60] = 255
        pixels[mask > 0] = 250
        truth = path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(truth)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
