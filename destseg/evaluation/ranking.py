"""One order of scores, ties collapsed, and what follows from it: AUROC, average precision, F1-max and their curves.

Every metric changes only at the scores of defective images or pixels, so a ranking keeps these and, for each, how many
normal ones lie above. The instances of the truth, and what their pixels say about them, are in pixels.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from destseg import Error

Floats = NDArray[np.floating[Any]]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
PRO_LIMIT = 0.3  # of the false-positive rate, as MVTec AD's own evaluation sets it
CURVE_POINTS = 500


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """Scores of normal images or pixels in ascending order, and how many there are of each."""

    scores: Floats
    """[D] ascending."""
    before: NDArray[np.int64] | None = None
    """[D + 1] how many lie before each, then how many there are; None where every entry is one of them."""

    @property
    def size(self) -> int:
        """How many there are."""
        return self.scores.size if self.before is None else int(self.before[-1])

    def below(self, thresholds: Floats, side: Literal["left", "right"]) -> NDArray[np.int64]:
        """[K] how many score below each threshold (left), or below or at it (right)."""
        place = np.searchsorted(self.scores, thresholds, side=side)
        return np.asarray(place if self.before is None else self.before[place], dtype=np.int64)


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

    def f1_max(self) -> float:
        """Highest F1 over all thresholds, NaN without positives. It takes its threshold from the very truth that it is
        measured on: it says how good the order is, and is neither a threshold to use nor a figure to expect in use.

        >>> rank(np.array([0.35, 0.8]), np.array([0.1, 0.4])).f1_max()
        0.8
        """
        if not self.hits.size:
            return math.nan
        found = np.cumsum(self.hits)
        return float((2 * found / (found[-1] + found + self.false_from)).max())

    def roc(self) -> Curve:
        """(false-positive rate, true-positive rate) from (0, 0) to (1, 1), thinned for a plot."""
        if not self.hits.size or not self.negatives:
            return no_curve()
        rate = np.cumsum(self.hits) / self.hits.sum()
        return thin(self.false_rates(), before_and_after(rate))

    def precision_recall(self) -> Curve:
        """(recall, precision) at falling thresholds, thinned for a plot."""
        if not self.hits.size:
            return no_curve()
        return thin(np.cumsum(self.hits) / self.hits.sum(), self.precision)

    def false_rates(self) -> NDArray[np.float64]:
        """[2K + 2] false-positive rate: 0, then above and from each threshold, then 1."""
        steps = np.stack([self.false_above, self.false_from], axis=1).ravel() / self.negatives
        return np.concatenate([[0.0], steps, [1.0]])


def rank(positives: Floats, negatives: Floats) -> Ranking:
    """Scores of positives [P] against negatives [N], in any order; an Error when one is NaN or infinite."""
    scores, hits = np.unique(positives, return_counts=True)
    return rank_sorted(finite(scores), hits, [Tally(scores=finite(np.sort(negatives)))])


def rank_sorted(scores: Floats, hits: NDArray[np.int64], negatives: Sequence[Tally]) -> Ranking:
    """Distinct ascending scores of the positives [K] and how many have each, against all negatives together."""
    size = sum(tally.size for tally in negatives)
    up_to = sum((tally.below(scores, "right") for tally in negatives), np.zeros(scores.size, dtype=np.int64))
    below = sum((tally.below(scores, "left") for tally in negatives), np.zeros(scores.size, dtype=np.int64))
    return Ranking(
        thresholds=scores[::-1],
        hits=hits[::-1].astype(np.int64),
        false_above=(size - up_to)[::-1],
        false_from=(size - below)[::-1],
        negatives=size,
    )


def finite(ascending: Floats) -> Floats:
    """The sorted scores as they came; an Error when one is NaN or infinite, which then is the first or the last."""
    if ascending.size and not np.isfinite(ascending[[0, -1]]).all():
        raise Error(
            "an anomaly score is NaN or infinite; expected finite numbers, so train again or look at the weights"
        )
    return ascending


def before_and_after(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2K + 2]: 0, then the value before and after each step, then 1: the other axis of Ranking.false_rates."""
    steps = np.stack([np.concatenate([[0.0], values[:-1]]), values], axis=1).ravel()
    return np.concatenate([[0.0], steps, [1.0]])


def thin(x: NDArray[np.float64], y: NDArray[np.float64], points: int = CURVE_POINTS) -> Curve:
    """At most `points` of the points, evenly spaced along the curve, both ends kept."""
    if x.size <= points:
        return x, y
    along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], points - 1))
    kept = np.unique(np.append(chosen.clip(0, x.size - 1), x.size - 1))
    return x[kept], y[kept]


def no_curve() -> Curve:
    return np.zeros(0), np.zeros(0)
