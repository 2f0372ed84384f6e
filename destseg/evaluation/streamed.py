"""The metrics of any number of images in bounded memory: their pixels are counted at 1.6 million levels of the score.

A level is the upper 20 bits of a float32 in ascending order: sign, exponent and 11 bits of the fraction. From 0.5 on
they are those of 1 - score, so that a score moves by less than 1/2048 of its distance from 0, or from 1 if that is
nearer: maps crowd at both. No bounds of the scores need to be known. docs/metrics.md says what the rounding changes.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from destseg.dataset.layout import GOOD
from destseg.evaluation.metrics import Metrics, check_shapes, from_rankings
from destseg.evaluation.pixels import Part, PixelRanking, gather, instances, rank_parts
from destseg.evaluation.ranking import Floats, Tally, finite, rank

_SHIFT = np.uint32(12)
_SIGN = np.uint32(1 << 31)
_HALF = (0x3F000000 | 1 << 31) >> 12  # level of 0.5, whose bits as float32 are 0x3F000000
LEVELS = 2 * _HALF + 1
BATCH = 32  # maps counted at once: their levels take some 100 MB at 256x256


def level_of(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The level of each score: the higher the score, the higher its level, or the same."""
    upper = scores >= 0.5
    near = np.where(upper, 1 - scores, scores) + np.float32(0)  # the sum turns -0 into 0
    bits = near.view(np.uint32)
    level = (np.where(bits >= _SIGN, ~bits, bits | _SIGN) >> _SHIFT).astype(np.int64)
    return np.where(upper, 2 * _HALF - level, level)


def score_of(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The one score that all scores at a level are taken for."""
    upper = levels >= _HALF
    rising = np.where(upper, 2 * _HALF - levels, levels).astype(np.uint32) << _SHIFT
    near = np.where(rising >= _SIGN, rising ^ _SIGN, ~rising).view(np.float32).astype(np.float64)
    return np.where(upper, 1 - near, near)


class Counts:
    """The pixels of some images, counted at each level: four numbers a level (50 MB), however many images there are."""

    def __init__(self) -> None:
        self.normal = np.zeros(LEVELS, dtype=np.int64)
        self.hits = np.zeros(LEVELS, dtype=np.int64)
        self.overlap = np.zeros(LEVELS)
        self.detected = np.zeros(LEVELS, dtype=np.int64)

    def add(self, maps: Floats, masks: NDArray[np.bool_]) -> None:
        """Counts the pixels of anomaly maps [N, H, W] with truth masks [N, H, W]; an Error at NaN or infinity."""
        for start in range(0, len(maps), BATCH):
            some = maps[start : start + BATCH].astype(np.float32)
            truth = masks[start : start + BATCH]
            finite(np.array([some.min(), some.max()]))  # either is NaN where any score is
            levels = level_of(some)
            hits, overlap, detected = gather(levels[truth], instances(truth), LEVELS)
            self.normal += np.bincount(levels.ravel(), minlength=LEVELS) - hits
            self.hits += hits
            self.overlap += overlap
            self.detected += np.bincount(detected, minlength=LEVELS)

    def part(self) -> Part:
        """What `sort_pixels` gives for the same maps rounded to their levels."""
        used, normal, middle = (np.flatnonzero(counts) for counts in (self.hits, self.normal, self.detected))
        return Part(
            scores=score_of(used),
            hits=self.hits[used],
            overlap=self.overlap[used],
            detected=np.repeat(score_of(middle), self.detected[middle]),
            normal=Tally(scores=score_of(normal), before=np.append(0, np.cumsum(self.normal[normal]))),
        )


class Streamed:
    """The metrics of images that come a batch at a time. Holds their anomaly scores, and Counts for each kind."""

    def __init__(self) -> None:
        # Numbers, no arrays: small arrays that stay would lie between the big ones that go, and memory would grow.
        self._scores: dict[str, list[float]] = {GOOD: []}
        self._counts = {GOOD: Counts()}

    def add(self, kinds: NDArray[np.str_], scores: Floats, maps: Floats, masks: NDArray[np.bool_]) -> None:
        """A batch: `good` or the defect type [N], anomaly scores [N], anomaly maps [N, H, W], truth masks [N, H, W]."""
        check_shapes(scores, maps, masks, np.asarray(kinds != GOOD, dtype=np.bool_))
        for kind in np.unique(kinds).tolist():
            of_kind = kinds == kind
            self._scores.setdefault(kind, []).extend(scores[of_kind].tolist())
            self._counts.setdefault(kind, Counts()).add(maps[of_kind], masks[of_kind])

    @property
    def defect_types(self) -> list[str]:
        """Sorted."""
        return sorted(self._scores.keys() - {GOOD})

    def metrics(self) -> Metrics:
        """Over all images so far."""
        return self._metrics(self.defect_types, self._pixels(self.defect_types))

    def metrics_of(self, defect_type: str) -> Metrics:
        """Over the normal images and those of one defect type."""
        return self._metrics([defect_type], self._pixels([defect_type]))

    def best_case(self) -> Metrics:
        """Over all images, were at each level every defective pixel above every normal one.

        No metric of the maps as they came is higher. Their pixel AUROC and PRO are also at most as far below metrics()
        as these are above it, and their pixel F1-max is at least that of metrics().
        """
        ranking = self._pixels(self.defect_types)
        best = replace(ranking.pixels, false_from=ranking.pixels.false_above)
        return self._metrics(self.defect_types, replace(ranking, pixels=best))

    def _pixels(self, defect_types: list[str]) -> PixelRanking:
        return rank_parts([self._counts[kind].part() for kind in [GOOD, *defect_types]])

    def _metrics(self, defect_types: list[str], pixels: PixelRanking) -> Metrics:
        defective = [score for kind in defect_types for score in self._scores[kind]]
        return from_rankings(rank(np.array(defective), np.array(self._scores[GOOD])), pixels)
