"""How often the threshold is wrong on the test set, and what the few images behind a rate allow to conclude."""

from dataclasses import dataclass

from scipy import stats

from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

CONFIDENCE = 0.95  # of the intervals, two-sided


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`count` wrong verdicts on `images` images, and the exact interval of the share behind them."""

    count: int
    images: int
    low: float
    """Clopper and Pearson's bounds: with CONFIDENCE, the share among all such images lies between them."""
    high: float

    @property
    def share(self) -> float:
        """The count by the images."""
        return self.count / self.images

    def __str__(self) -> str:
        return f"{self.count} of {self.images} ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


def rate(count: int, images: int) -> Rate | None:
    """The rate with its exact binomial interval; None where there is no image.

    >>> print(rate(0, 10), rate(5, 10), rate(10, 10), sep="; ")
    0 of 10 (0.0 to 30.8 %); 5 of 10 (18.7 to 81.3 %); 10 of 10 (69.2 to 100.0 %)
    """
    if not images:
        return None
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.beta.ppf(tail, count, images - count + 1)) if count else 0.0
    high = float(stats.beta.isf(tail, count + 1, images - count)) if count < images else 1.0
    return Rate(count=count, images=images, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What the threshold makes of the test set; each is None without a threshold or without such images."""

    false_rejects: Rate | None
    """Normal images above the threshold."""
    escapes: Rate | None
    """Defect images that are not above it."""
    by_type: dict[str, Rate | None]
    """The escapes of each defect type."""

    def to_dict(self) -> dict[str, float | None]:
        """The rates and their bounds, for metrics.json, whose counts stand beside them."""
        return {**flat("false_reject", self.false_rejects), **flat("escape", self.escapes)}


def rates(scored: Scored, calibration: Calibration | None) -> Rates:
    """The rates of the whole test set and of each defect type."""
    if calibration is None:
        return Rates(false_rejects=None, escapes=None, by_type=dict.fromkeys(scored.defect_types))
    rejected, defective = scored.rejected(calibration), scored.defective

    def missed(kind: str) -> Rate | None:
        chosen = scored.kinds == kind
        return rate(int((~rejected & chosen).sum()), int(chosen.sum()))

    return Rates(
        false_rejects=rate(int((rejected & ~defective).sum()), int((~defective).sum())),
        escapes=rate(int((~rejected & defective).sum()), int(defective.sum())),
        by_type={kind: missed(kind) for kind in scored.defect_types},
    )


def flat(name: str, found: Rate | None) -> dict[str, float | None]:
    """<name>_rate and its bounds <name>_rate_low and <name>_rate_high; None for a rate that is not known."""
    numbers = (None, None, None) if found is None else (found.share, found.low, found.high)
    return dict(zip((f"{name}_rate", f"{name}_rate_low", f"{name}_rate_high"), numbers, strict=True))
