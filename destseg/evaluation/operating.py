"""The operating points of a model: every threshold that its calibration images allow, and the verdicts it gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from destseg.evaluation.calibrate import kept_ranks, provable_rate
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

MOST = 201  # points; a slider has hardly more places
HIGHEST = 0.5  # share of the calibration images above a threshold; a line that rejects more makes nothing


@dataclass(frozen=True, kw_only=True)
class Point:
    """A threshold, and the wrong verdicts that it gives."""

    rate: float
    """Share of the calibration images that lie above it."""
    provable_rate: float
    """Share that these prove not to be exceeded."""
    threshold: float
    false_rejects: int
    escapes: dict[str, int]
    """Missed images of each defect type."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoints:
    """By ascending rate, so by falling threshold; `current` is the place of the model's own threshold."""

    points: tuple[Point, ...]
    current: int | None
    """None for a model without a threshold, which has no points."""

    def to_dict(self) -> dict[str, Any]:
        """For comparison.json."""
        return {"operating_points": [vars(point) for point in self.points], "current": self.current}


def operating_points(scored: Scored, calibration: Calibration | None) -> OperatingPoints:
    """What the images of a test set would be taken for at each threshold; of calibrations without scores, at one."""
    if calibration is None:
        return OperatingPoints(points=(), current=None)
    own, images = calibration.threshold, calibration.images
    kept = np.array(calibration.scores)
    # Of tied scores the last one counts.
    highest_rank = dict(zip(kept.tolist(), kept_ranks(images, kept.size).tolist(), strict=True))
    found = {
        score: (1 - rank / images, provable_rate(images, rank, calibration.confidence))
        for score, rank in highest_rank.items()
        if 1 - rank / images <= HIGHEST
    }
    rate = found[own][0] if own in found else _share_above(kept, own, calibration)
    found[own] = (rate, calibration.provable_rate)
    falling = sorted(found, reverse=True)
    chosen = {falling[place] for place in np.linspace(0, len(falling) - 1, min(MOST, len(falling))).round().astype(int)}
    points = [
        Point(
            rate=found[threshold][0],
            provable_rate=found[threshold][1],
            threshold=threshold,
            false_rejects=int((scored.scores[~scored.defective] > threshold).sum()),
            escapes={kind: _missed(scored, kind, threshold) for kind in scored.defect_types},
        )
        for threshold in falling
        if threshold in chosen or threshold == own
    ]
    return OperatingPoints(points=tuple(points), current=[point.threshold for point in points].index(own))


def _share_above(kept: np.ndarray, threshold: float, calibration: Calibration) -> float:
    """The target itself for calibrations from before the scores were kept."""
    return float((kept > threshold).mean()) if kept.size else calibration.target_rate


def _missed(scored: Scored, kind: str, threshold: float) -> int:
    return int((scored.scores[scored.kinds == kind] <= threshold).sum())
