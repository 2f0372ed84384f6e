"""The pixels of anomaly maps against their truth, and what they say about the instances: PRO, IAP, IAP@k.

Pixels are sorted once, kind by kind: a defect type's metrics and those over all images come from the same sorted parts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from destseg.evaluation.ranking import (
    PRO_LIMIT,
    Curve,
    Floats,
    Ranking,
    Tally,
    before_and_after,
    finite,
    no_curve,
    rank_sorted,
    thin,
)

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The pixels of some images, sorted. An instance is an 8-connected region of an image's truth."""

    scores: Floats
    """[K] distinct scores of the defective pixels, ascending."""
    hits: NDArray[np.int64]
    """[K] defective pixels at exactly the score."""
    overlap: NDArray[np.float64]
    """[K] sum over the instances of the share of an instance's pixels at exactly the score."""
    detected: Floats
    """[M] for each instance the highest score that more than half of its pixels reach."""
    normal: Tally
    """The pixels outside every instance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelRanking:
    """The ranking of all pixels, and what it says about the instances."""

    pixels: Ranking
    overlap_gains: NDArray[np.float64]
    """[K] mean over the instances of the share of an instance's pixels that lie at exactly the threshold."""
    detected_at: NDArray[np.int64]
    """[M] ascending: at which threshold more than half of an instance's pixels score at or above it."""

    def pro(self, limit: float = PRO_LIMIT) -> float:
        """Mean overlap of the instances over false-positive rates 0 to `limit`, interpolated there, divided by it;
        in [0, 1], NaN without instances or without normal pixels."""
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
            return no_curve()
        rates = self.pixels.false_rates()
        overlap = before_and_after(np.cumsum(self.overlap_gains).clip(max=1.0))
        inside = rates <= limit
        return thin(np.append(rates[inside], limit), np.append(overlap[inside], np.interp(limit, rates, overlap)))

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
    return rank_parts([sort_pixels(maps, masks)])


def rank_parts(parts: Sequence[Part]) -> PixelRanking:
    """Ranks the pixels of all parts together: merges what is sorted."""
    scores = np.unique(np.concatenate([part.scores for part in parts]))
    hits, overlap = np.zeros(scores.size, dtype=np.int64), np.zeros(scores.size)
    for part in parts:
        place = np.searchsorted(scores, part.scores)
        hits[place] += part.hits
        overlap[place] += part.overlap
    detected = np.searchsorted(scores, np.concatenate([part.detected for part in parts]))
    return PixelRanking(
        pixels=rank_sorted(scores, hits, [part.normal for part in parts]),
        overlap_gains=overlap[::-1] / max(1, detected.size),
        detected_at=np.sort(scores.size - 1 - detected),
    )


def sort_pixels(maps: Floats, masks: NDArray[np.bool_], chosen: NDArray[np.bool_] | None = None) -> Part:
    """The pixels of anomaly maps [N, H, W] and truth masks [N, H, W], or of those of them that are `chosen` [N]."""
    inside = np.ones(len(maps), dtype=np.bool_) if chosen is None else chosen
    normal = maps[~masks & inside[:, None, None]]
    normal.sort()
    truth = masks[inside]
    scores, place = np.unique(maps[masks & inside[:, None, None]], return_inverse=True)
    hits, overlap, detected = gather(place, instances(truth), scores.size)
    return Part(
        scores=finite(scores),
        hits=hits,
        overlap=overlap,
        detected=scores[detected],
        normal=Tally(scores=finite(normal)),
    )


def gather(
    place: NDArray[np.int64], instance: NDArray[np.int64], levels: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Of P defective pixels, each at one of `levels` ascending scores and of one instance: pixels at each level, sum of
    the instances' shares at each level, and for each instance the highest level that more than half of it reaches."""
    sizes = np.bincount(instance)
    ordered = np.sort(instance * levels + place)  # instance by instance, its lowest pixel first
    middle = np.cumsum(sizes) - sizes + (sizes - 1) // 2
    hits = np.asarray(np.bincount(place, minlength=levels), dtype=np.int64)
    overlap = np.asarray(np.bincount(place, weights=1.0 / sizes[instance], minlength=levels), dtype=np.float64)
    return hits, overlap, np.asarray(ordered[middle] - levels * np.arange(sizes.size), dtype=np.int64)


def instances(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each True pixel of the masks, in their order, the number of its 8-connected region, counted from 0."""
    numbers, total = [np.zeros(0, dtype=np.int64)], 0
    for mask in masks[masks.any(axis=(1, 2))]:
        labels, count = ndimage.label(mask, structure=_EIGHT_CONNECTED)
        numbers.append(labels[mask].astype(np.int64) - 1 + total)
        total += count
    return np.concatenate(numbers)
