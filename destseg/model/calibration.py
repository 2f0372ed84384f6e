"""What turns raw scores into verdicts and colours: a small JSON beside the weights, made from normal images only."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from destseg import Error

SCORES = 1024  # kept at most; between two of so many quantiles lies less than 0.1 % of the images


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The threshold and what it promises, the one colour range of all heatmaps, and the scores behind them.

    evaluation/calibrate.py makes it.
    """

    threshold: float
    """An image with a higher anomaly score is defective."""
    target_rate: float
    """Share of the good parts that may be rejected falsely (calibration.false_reject_rate)."""
    provable_rate: float
    """Share that the calibration images prove not to be exceeded; above the target if they are few."""
    confidence: float
    """Probability, over the choice of the calibration images, that `provable_rate` holds."""
    images: int
    """Number of held-out normal images."""
    heat_low: float
    """Map value of the range's lower end: as calm as a normal image."""
    heat_high: float
    """Map value of the range's upper end."""
    scores: tuple[float, ...] = ()
    """Anomaly scores of the held-out normal images, ascending; of more than SCORES images as many quantiles. Empty in
    files from before they were kept.

    With `images` they are what a test of drift compares a stream of scores with, such as Kolmogorov and Smirnov's.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", tuple(self.scores))  # a list, in JSON
        named = {name: value for name, value in vars(self).items() if name != "scores"}
        for name, value in (*named.items(), *(("a score", score) for score in self.scores)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise Error(f"calibration: {name} is {value!r}, expected a finite number")
        for name in ("target_rate", "provable_rate", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise Error(f"calibration: {name} is {getattr(self, name)}, expected more than 0 and less than 1")
        if not isinstance(self.images, int) or self.images < 1:
            raise Error(f"calibration: images is {self.images}, expected a whole number from 1 up")
        if self.heat_low >= self.heat_high:
            raise Error(f"calibration: heat_low is {self.heat_low}, expected less than heat_high ({self.heat_high})")
        most = min(self.images, SCORES)
        if len(self.scores) > most:
            raise Error(f"calibration: {len(self.scores)} scores of {self.images} images, expected at most {most}")
        if any(first > second for first, second in pairwise(self.scores)):
            raise Error("calibration: the scores do not ascend, expected them sorted")

    def is_anomalous(self, score: float) -> bool:
        """The verdict on an image with this anomaly score."""
        return bool(score > self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return dataclasses.asdict(self) | {"scores": list(self.scores)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Calibration":
        """The calibration that `to_dict` gave, or an Error that names what is missing, unknown or no number."""
        if not isinstance(content, Mapping):
            raise Error(f"calibration is {type(content).__name__}, expected a mapping of its fields")
        fields = dataclasses.fields(cls)
        names = {field.name for field in fields}
        needed = {field.name for field in fields if field.default is dataclasses.MISSING}
        if wrong := sorted((needed - set(content)) | (set(content) - names)):
            state = "is missing" if wrong[0] in names else "is unknown"
            raise Error(f"calibration: {wrong[0]} {state}, expected {', '.join(sorted(names))}; run `destseg evaluate`")
        scores = content.get("scores", ())
        if not isinstance(scores, list | tuple):
            raise Error(f"calibration: scores is {type(scores).__name__}, expected a list of numbers")
        return cls(**content)
