"""Results of models on images whose files exist: their SHA-256s are read."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from destseg.dataset.layout import GOOD, Sample
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

CALIBRATION = Calibration(
    threshold=0.5,
    target_rate=0.01,
    provable_rate=0.02,
    confidence=0.95,
    images=9,
    heat_low=0.25,
    heat_high=0.625,
)


@cache
def sample(kind: str, number: int) -> Sample:
    """test/<kind>/<number>.png with bytes of its own, and a mask for defect images."""
    path = folder() / kind / f"{number:03}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"image {kind} {number}", encoding="utf-8")
    mask = None if kind == GOOD else path.with_suffix(".mask")
    if mask is not None:
        mask.write_text(f"mask {kind} {number}", encoding="utf-8")
    return Sample(path=path, split="test", kind=kind, mask=mask)


@cache
def folder() -> Path:
    """Deleted when the tests end."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    return Path(kept.name)


def scored(kinds, scores, maps, masks):
    """The N images of a test set, numbered as they come."""
    samples = [sample(str(kind), number) for number, kind in enumerate(kinds)]
    return Scored(samples=samples, scores=np.asarray(scores, dtype=float), maps=maps, masks=masks)
