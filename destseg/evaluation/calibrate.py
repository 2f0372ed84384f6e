"""The threshold and the heatmaps' colour range from held-out normal images alone, never from the test set."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from destseg import Error
from destseg.model.calibration import SCORES, Calibration

CALM_SHARE = 0.99  # of the pixels of normal images lie at or below the colour range's lower end


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """What the threshold has to keep."""

    false_reject_rate: float = 0.01
    """Share of the good parts that may be rejected falsely; proving 0.01 at confidence 0.95 takes 299 images."""
    confidence: float = 0.95
    """Probability with which the share is kept, over the choice of the calibration images."""

    def __post_init__(self) -> None:
        if not 0 < self.false_reject_rate < 1:
            raise ValueError(f"false_reject_rate is {self.false_reject_rate}, expected more than 0 and less than 1")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}, expected more than 0 and less than 1")


def calibrate(
    scores: NDArray[np.floating[Any]], maps: NDArray[np.floating[Any]], settings: CalibrationSettings
) -> Calibration:
    """Calibration from image scores [N] and anomaly maps [N, H, W] of held-out normal images, N >= 1."""
    if scores.size == 0:
        raise Error("no calibration images, expected at least one held-out normal image; raise split.calibration_share")
    if not np.isfinite(scores).all() or not np.isfinite(maps).all():
        raise Error("a score of a calibration image is not finite; train again or look at the weights")
    kept = kept_images(scores.size, settings)
    ordered = np.sort(scores).astype(np.float64)
    threshold = float(ordered[kept - 1])
    low, high = heat_range(maps, threshold)
    return Calibration(
        threshold=threshold,
        target_rate=settings.false_reject_rate,
        provable_rate=provable_rate(scores.size, kept, settings.confidence),
        confidence=settings.confidence,
        images=int(scores.size),
        heat_low=low,
        heat_high=high,
        scores=tuple(ordered[kept_ranks(scores.size, min(scores.size, SCORES)) - 1].tolist()),
    )


def moved(calibration: Calibration, rate: float) -> Calibration:
    """The same calibration with the lowest threshold that at most the share `rate` of its images exceeds.

    The colour range begins where it did, and has the new threshold at two thirds.
    """
    if not calibration.scores:
        raise Error("the calibration has no scores, as those of former releases; train the model again")
    if not 0 <= rate < 1:
        raise Error(f"the false-reject rate is {rate}, expected 0 up to 1: a share of the calibration images")
    ranks = kept_ranks(calibration.images, len(calibration.scores))
    place = int(np.argmax(1 - ranks / calibration.images <= rate + 1e-9))  # the last one has none above it
    threshold, kept = calibration.scores[place], int(ranks[place])
    provable = provable_rate(calibration.images, kept, calibration.confidence)
    low, high = _range(min(calibration.heat_low, threshold), threshold)
    return dataclasses.replace(
        calibration,
        threshold=threshold,
        target_rate=rate or provable,
        provable_rate=provable,
        heat_low=low,
        heat_high=high,
    )


def kept_images(images: int, settings: CalibrationSettings) -> int:
    """Rank of the score that becomes the threshold: the smallest that keeps the target, else the highest.

    >>> [kept_images(n, CalibrationSettings()) for n in (50, 299, 473, 1000)]
    [50, 299, 472, 996]
    """
    ranks = np.arange(1, images + 1)
    enough = np.flatnonzero(_bound(images, ranks, settings.confidence) <= settings.false_reject_rate)
    return int(ranks[enough[0]]) if enough.size else images


def provable_rate(images: int, kept: int, confidence: float) -> float:
    """Upper confidence bound on the share of normal images above the `kept`-th lowest of `images` scores.

    >>> round(provable_rate(299, 299, 0.95), 4), round(1 - 0.05 ** (1 / 50), 4), round(provable_rate(50, 50, 0.95), 4)
    (0.01, 0.0582, 0.0582)
    """
    return float(_bound(images, np.array([kept]), confidence)[0])


def images_needed(settings: CalibrationSettings) -> int:
    """Fewest calibration images that can prove the target: none of them may then lie above the threshold.

    >>> images_needed(CalibrationSettings()), images_needed(CalibrationSettings(false_reject_rate=0.05))
    (299, 59)
    """
    return math.ceil(math.log1p(-settings.confidence) / math.log1p(-settings.false_reject_rate))


def heat_range(maps: NDArray[np.floating[Any]], threshold: float) -> tuple[float, float]:
    """(low, high): 99 % of normal pixels lie at or below `low`, and the threshold at two thirds of the range.

    Good parts so show next to no colour, and a region that is enough to reject an image reaches the strong colours.
    """
    return _range(float(np.quantile(maps, CALM_SHARE, method="inverted_cdf")), threshold)


def _range(calm: float, threshold: float) -> tuple[float, float]:
    width = max(threshold - calm, abs(threshold) * 1e-3, 1e-6)  # more than 0 even for maps that are constant
    return threshold - width, threshold + width / 2


def kept_ranks(images: int, kept: int) -> NDArray[np.int64]:
    """Ranks, from 1 up, of the scores that are kept of so many images: evenly spread, both ends among them."""
    return np.round(np.linspace(0, images - 1, kept)).astype(np.int64) + 1


def _bound(images: int, ranks: NDArray[np.int64], confidence: float) -> NDArray[np.float64]:
    # The share above the k-th of n order statistics follows Beta(n - k + 1, k), or lies below it if scores are tied.
    return np.asarray(stats.beta.ppf(confidence, images - ranks + 1, ranks), dtype=np.float64)
