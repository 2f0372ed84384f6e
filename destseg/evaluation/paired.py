"""Two models on the same images: how far the challenger is from the champion, and on which images they differ."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from destseg import Error
from destseg.dataset.layout import GOOD
from destseg.evaluation.rates import CONFIDENCE
from destseg.evaluation.summary import Summary
from destseg.model.calibration import Calibration

RESAMPLES = 1000
LEAST_RESAMPLES = 100  # fewer say nothing of a tail of 2.5 %
CLEAR = 0.1  # of the colour range: a smaller difference between two heatmaps is hardly seen
_CHUNK = 100  # resamples at once: 7 MB of counts in 2048 bins
_BLOCK = 256  # images whose counts are held as floats at once: 8 MB
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of both models, and the interval of challenger less champion."""

    champion: float
    challenger: float
    low: float
    """CONFIDENCE of the resamples have a difference between `low` and `high`; as many lie below as above."""
    high: float

    @property
    def difference(self) -> float:
        """Challenger less champion: above 0 where the challenger is better."""
        return self.challenger - self.champion

    def __str__(self) -> str:
        """
        >>> print(Difference(champion=0.75, challenger=0.875, low=0.0625, high=0.25))
        +0.1250 (+0.0625 to +0.2500)
        """
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The images of one kind that each model rejects, and the names of those on which their verdicts differ.

    Of a defect type, what is rejected is caught and what is accepted is missed; of `good`, a reject is a false one.
    """

    images: int
    champion: int
    """Rejected by the champion at its own threshold."""
    challenger: int
    newly_rejected: tuple[str, ...]
    """By the challenger, not by the champion."""
    newly_accepted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The two models at their own thresholds.

    The challenger is better on a defect image that it alone catches and worse on one that the champion alone catches.
    On the others it is better or worse where the score's place in its model's colour range (0 at the calm end, 1 at the
    strong one, nothing beyond) is more than CLEAR higher or lower: where the heatmap shows the defect more or less.
    """

    by_type: dict[str, Changes]
    """Of each defect type."""
    good: Changes
    better: tuple[str, ...]
    """Names of the defect images on which the challenger is better."""
    worse: tuple[str, ...]

    @property
    def newly_missed(self) -> tuple[str, ...]:
        """Defect images of all types that the champion alone catches."""
        return tuple(name for changes in self.by_type.values() for name in changes.newly_accepted)

    @property
    def newly_caught(self) -> tuple[str, ...]:
        """Defect images of all types that the challenger alone catches."""
        return tuple(name for changes in self.by_type.values() for name in changes.newly_rejected)

    def __str__(self) -> str:
        """
        >>> good = Changes(images=9, champion=2, challenger=1, newly_rejected=(), newly_accepted=("test/good/7.png",))
        >>> dent = Changes(images=4, champion=3, challenger=3, newly_rejected=("a",), newly_accepted=("b",))
        >>> print(Verdicts(by_type={"dent": dent}, good=good, better=("a", "c"), worse=("b",)))
        better on 2 of 4 defects, worse on 1 (1 newly missed), 1 false reject fewer
        """
        images = sum(changes.images for changes in self.by_type.values())
        missed = f" ({len(self.newly_missed)} newly missed)" if self.newly_missed else ""
        defects = f"better on {len(self.better)} of {images} defects, worse on {len(self.worse)}{missed}"
        more = self.good.challenger - self.good.champion
        rejects = "as many false rejects"
        if more:
            rejects = f"{abs(more)} false reject{'s' * (abs(more) > 1)} {'more' if more > 0 else 'fewer'}"
        return f"{defects if images else 'no defects'}, {rejects if self.good.images else 'no normal images'}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Challenger and champion on the same images."""

    image_auroc: Difference | None
    """None without defect images or without normal ones."""
    pixel_ap: Difference | None
    """None without a defective pixel."""
    verdicts: Verdicts | None
    """None where either model has no threshold."""

    def __str__(self) -> str:
        return "no verdicts: a model has no threshold" if self.verdicts is None else str(self.verdicts)


def compare(champion: Summary, challenger: Summary, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """The challenger against the champion; an Error where they were not evaluated on the same images.

    The intervals come from a paired bootstrap: each resample draws, of each kind, as many images as there are, with
    replacement, and measures both models on them. One without a defective pixel has no pixel AP and does not count.
    """
    if resamples < LEAST_RESAMPLES:
        raise ValueError(f"resamples is {resamples}, expected at least {LEAST_RESAMPLES}")
    check_same_images(champion, challenger)
    once = np.ones((1, champion.names.size), dtype=np.int64)
    auroc, ap = [], []
    for weights in chain([once], draws(champion.kinds, resamples, np.random.default_rng(seed))):
        auroc.append([image_auroc(model, weights) for model in (champion, challenger)])
        ap.append([pixel_ap(model, weights) for model in (champion, challenger)])
    return Comparison(image_auroc=_difference(auroc), pixel_ap=_difference(ap), verdicts=verdicts(champion, challenger))


def check_same_images(champion: Summary, challenger: Summary) -> None:
    """An Error that names the first image of which the two do not have the same file and mask."""
    first, second = champion.hashes, challenger.hashes
    if different := sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)):
        name = different[0]
        if name not in first or name not in second:
            state = f"which only the {'champion' if name in first else 'challenger'} was given"
        else:
            state = f"whose {'mask' if first[name][0] == second[name][0] else 'file'} is not the same"
        raise Error(
            f"champion and challenger were not evaluated on the same images: {len(different)} differ, the first is "
            f"{name}, {state}; evaluate both on one dataset version"
        )


def draws(kinds: NDArray[np.str_], resamples: int, rng: np.random.Generator) -> Iterator[Ints]:
    """[R, N] how often each image is drawn, some resamples at a time; each kind as often as it has images."""
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        weights = np.zeros((rows, kinds.size), dtype=np.int64)
        for kind in np.unique(kinds):
            members = np.flatnonzero(kinds == kind)
            chosen = rng.integers(members.size, size=(rows, members.size))
            place = chosen + members.size * np.arange(rows)[:, None]
            weights[:, members] = np.bincount(place.ravel(), minlength=place.size).reshape(place.shape)
        yield weights


def image_auroc(model: Summary, weights: Ints) -> Reals:
    """[R] of the images drawn `weights` [R, N] times; NaN without defect or without normal images."""
    order = np.flatnonzero(~model.defective)[np.argsort(model.scores[~model.defective])]
    scores = model.scores[model.defective]
    before = np.pad(np.cumsum(weights[:, order], axis=1), ((0, 0), (1, 0)))
    below = before[:, np.searchsorted(model.scores[order], scores, side="left")]
    up_to = before[:, np.searchsorted(model.scores[order], scores, side="right")]
    defects = weights[:, model.defective]
    pairs = defects.sum(axis=1) * before[:, -1]
    return _ratio((defects * (below + up_to)).sum(axis=1), 2 * pairs)


def pixel_ap(model: Summary, weights: Ints) -> Reals:
    """[R] of the images drawn `weights` [R, N] times, from the counts in bins; NaN without a defective pixel."""
    hits, normals = (np.zeros((len(weights), model.hits.shape[1])) for _ in range(2))
    for start in range(0, weights.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        drawn = weights[:, block].astype(np.float64)  # exact: no count of pixels comes near 2^53
        hits += drawn @ model.hits[block].astype(np.float64)
        normals += drawn @ model.normals[block].astype(np.float64)
    found = np.cumsum(hits, axis=1)
    above = found + np.cumsum(normals, axis=1)
    precision = np.divide(found, above, out=np.zeros_like(found), where=above > 0)
    return _ratio((hits * precision).sum(axis=1), hits.sum(axis=1))


def verdicts(champion: Summary, challenger: Summary) -> Verdicts | None:
    """How the verdicts on the same images differ; None where either model has no threshold."""
    if champion.calibration is None or challenger.calibration is None:
        return None
    names, kinds = champion.names, champion.kinds
    before = champion.scores > champion.calibration.threshold
    after = challenger.scores > challenger.calibration.threshold
    gain = place(challenger.scores, challenger.calibration) - place(champion.scores, champion.calibration)
    better = np.where(before == after, gain > CLEAR, after) & champion.defective
    worse = np.where(before == after, gain < -CLEAR, before) & champion.defective

    def changes(kind: str) -> Changes:
        of = kinds == kind
        return Changes(
            images=int(of.sum()),
            champion=int(before[of].sum()),
            challenger=int(after[of].sum()),
            newly_rejected=_named(names[of & after & ~before]),
            newly_accepted=_named(names[of & before & ~after]),
        )

    return Verdicts(
        by_type={str(kind): changes(kind) for kind in np.unique(kinds[champion.defective])},
        good=changes(GOOD),
        better=_named(names[better]),
        worse=_named(names[worse]),
    )


def place(scores: Reals, calibration: Calibration) -> Reals:
    """Where scores lie in the colour range, 0 to 1.

    >>> made = dict(target_rate=0.01, provable_rate=0.02, confidence=0.95, images=9)
    >>> place(np.array([0.1, 0.5, 0.9]), Calibration(threshold=0.5, heat_low=0.25, heat_high=0.625, **made)).tolist()
    [0.0, 0.6666666666666666, 1.0]
    """
    return np.clip((scores - calibration.heat_low) / (calibration.heat_high - calibration.heat_low), 0.0, 1.0)


def _difference(values: list[list[Reals]]) -> Difference | None:
    """From chunks of the metric of [champion, challenger]: the first value is that of the whole set."""
    champion, challenger = np.concatenate(values, axis=1)
    gains = challenger - champion
    if math.isnan(gains[0]):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(gains[1:], [tail, 1 - tail])
    return Difference(champion=float(champion[0]), challenger=float(challenger[0]), low=float(low), high=float(high))


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> Reals:
    return np.asarray(np.divide(part, whole, out=np.full(whole.shape, math.nan), where=whole != 0), dtype=np.float64)


def _named(names: NDArray[np.str_]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)
