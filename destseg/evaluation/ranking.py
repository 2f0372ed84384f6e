"""One descending order of scores, ties collapsed, and all that follows from it: areas, curves, instances.

Every metric changes only at the scores of defective images or pixels, so a ranking keeps these and, for each, how many
normal ones lie above: a thousand maps of 256x256 need one sorted copy of their pixels and little else.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from destseg import Error

Floats = NDArray[np.floating[Any]]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
PRO_LIMIT = 0.3  # of the false-positive rate, as MVTec AD's own evaluation sets it
CURVE_POINTS = 500
_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Defective (positive) scores against normal (negative) ones, equal scores collapsed into one threshold."""

    thresholds: Floats
    """[K] distinct scores of the positives, descending."""
    hits: NDArray[np.int64]
    """[K] positives at exactly the threshold."""
    false_above: NDArray[np.int64]
    """[K] negatives above the threshold."""
    false_from: NDArray[np.int64]
    """[K] negatives at or above it."""
    negatives: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """[K] share of the positives among all scores at or above the threshold."""
        found = np.cumsum(self.hits)
        return found / (found + self.false_from)

    def auroc(self) -> float:
        """Area under the ROC curve, a tie counting half; NaN without positives or without negatives.

        >>> rank(np.array([0.4, 0.8]), np.array([0.1, 0.4])).auroc()
        0.875
        """
        positives = int(self.hits.sum())
        if not positives or not self.negatives:
            return math.nan
        below_twice = 2 * self.negatives - self.false_above - self.false_from  # in integers the sum is exact
        return int(self.hits @ below_twice) / (2 * positives * self.negatives)

    def average_precision(self) -> float:
        """Step-wise average precision, as scikit-learn defines it; NaN without positives.

        >>> rank(np.array([0.35, 0.8]), np.array([0.1, 0.4])).average_precision()
        0.8333333333333333
        """
        if not self.hits.size:
            return math.nan
        return float(self.hits @ self.precision) / int(self.hits.sum())

    def roc(self) -> Curve:
        """(false-positive rate, true-positive rate) from (0, 0) to (1, 1), thinned for a plot."""
        if not self.hits.size or not self.negatives:
            return _no_curve()
        rate = np.cumsum(self.hits) / self.hits.sum()
        return _thin(self.false_rates(), _before_and_after(rate))

    def precision_recall(self) -> Curve:
        """(recall, precision) at falling thresholds, thinned for a plot."""
        if not self.hits.size:
            return _no_curve()
        return _thin(np.cumsum(self.hits) / self.hits.sum(), self.precision)

    def false_rates(self) -> NDArray[np.float64]:
        """[2K + 2] false-positive rate: 0, then above and from each threshold, then 1."""
        steps = np.stack([self.false_above, self.false_from], axis=1).ravel() / self.negatives
        return np.concatenate([[0.0], steps, [1.0]])


def rank(positives: Floats, negatives: Floats) -> Ranking:
    """The shared sorter: scores of positives [P] against negatives [N], in any order; an Error when one is NaN."""
    thresholds, hits = np.unique(positives, return_counts=True)
    ordered = np.sort(negatives)
    for scores in (thresholds, ordered):
        if scores.size and np.isnan(scores[-1]):  # NaN sorts last
            raise Error("an anomaly score is NaN; the metrics need numbers, so train again or look at the weights")
    thresholds = thresholds[::-1]
    return Ranking(
        thresholds=thresholds,
        hits=hits[::-1].astype(np.int64),
        false_above=ordered.size - np.searchsorted(ordered, thresholds, side="right").astype(np.int64),
        false_from=ordered.size - np.searchsorted(ordered, thresholds, side="left").astype(np.int64),
        negatives=ordered.size,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelRanking:
    """The ranking of all pixels, and what it says about the instances: the 8-connected regions of the truth."""

    pixels: Ranking
    overlap_gains: NDArray[np.float64]
    """[K] mean over the instances of the share of an instance's pixels that lie at exactly the threshold."""
    detected_at: NDArray[np.int64]
    """[M] ascending: at which threshold more than half of an instance's pixels score at or above it."""

    def pro(self, limit: float = PRO_LIMIT) -> float:
        """Mean overlap of the instances over false-positive rates 0 to `limit`, interpolated there, divided by it."""
        if not self.detected_at.size or not self.pixels.negatives:
            return math.nan
        above = self.pixels.false_above / self.pixels.negatives
        at = self.pixels.false_from / self.pixels.negatives
        # What a pixel adds to the curve rises in a straight line from `above` to `at` and stays: its area to `limit`.
        ramp = np.minimum(at, limit) - above
        cut = np.divide(ramp**2, 2 * (at - above), out=np.zeros_like(at), where=(at > limit) & (above < limit))
        area = np.where(at <= limit, limit - (above + at) / 2, cut)
        return min(1.0, float(self.overlap_gains @ area) / limit)  # a rounding error could exceed 1

    def pro_curve(self, limit: float = PRO_LIMIT) -> Curve:
        """(false-positive rate, mean overlap of the instances) from 0 to `limit`, thinned for a plot."""
        if not self.detected_at.size or not self.pixels.negatives:
            return _no_curve()
        rates = self.pixels.false_rates()
        overlap = _before_and_after(np.cumsum(self.overlap_gains).clip(max=1.0))
        inside = rates <= limit
        return _thin(np.append(rates[inside], limit), np.append(overlap[inside], np.interp(limit, rates, overlap)))

    def instance_precision(self) -> NDArray[np.float64]:
        """[M] highest pixel precision at which 1, 2, ... M instances are detected."""
        at_detection = self.pixels.precision[self.detected_at]
        return np.maximum.accumulate(at_detection[::-1])[::-1]

    def iap(self) -> float:
        """Instance average precision: recall is counted in instances, precision in pixels; NaN without instances."""
        return float(self.instance_precision().mean()) if self.detected_at.size else math.nan

    def iap_at(self, recall_percent: int) -> float:
        """Pixel precision where `recall_percent` of the instances (rounded up) are detected; NaN without instances."""
        if not self.detected_at.size:
            return math.nan
        wanted = max(1, -(-self.detected_at.size * recall_percent // 100))
        return float(self.instance_precision()[wanted - 1])


def rank_pixels(maps: Floats, masks: NDArray[np.bool_]) -> PixelRanking:
    """Ranks the pixels of anomaly maps [N, H, W] against their truth masks; normal images have empty masks."""
    scores = maps[masks]
    pixels = rank(scores, maps[~masks])
    place = pixels.thresholds.size - 1 - np.searchsorted(pixels.thresholds[::-1], scores)
    instance = _instances(masks)
    sizes = np.bincount(instance)
    gains = np.bincount(place, weights=1.0 / (sizes[instance] * sizes.size), minlength=pixels.thresholds.size)
    ordered = place[np.lexsort((place, instance))]  # instance by instance, its highest score first
    first = np.cumsum(sizes) - sizes
    return PixelRanking(
        pixels=pixels, overlap_gains=gains.astype(np.float64), detected_at=np.sort(ordered[first + sizes // 2])
    )


def _instances(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each True pixel of the masks, in their order, the number of its 8-connected region, counted from 0."""
    numbers, total = [np.zeros(0, dtype=np.int64)], 0
    for mask in masks[masks.any(axis=(1, 2))]:
        labels, count = ndimage.label(mask, structure=_EIGHT_CONNECTED)
        numbers.append(labels[mask].astype(np.int64) - 1 + total)
        total += count
    return np.concatenate(numbers)


def _before_and_after(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2K + 2]: 0, then the value before and after each step, then 1: the other axis of Ranking.false_rates."""
    steps = np.stack([np.concatenate([[0.0], values[:-1]]), values], axis=1).ravel()
    return np.concatenate([[0.0], steps, [1.0]])


def _thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    """At most CURVE_POINTS of the points, evenly spaced along the curve, both ends kept."""
    if x.size <= CURVE_POINTS:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], CURVE_POINTS - 1))
    kept = np.unique(np.append(chosen.clip(0, x.size - 1), x.size - 1))
    return x[kept], y[kept]


def _no_curve() -> Curve:
    return np.zeros(0), np.zeros(0)
