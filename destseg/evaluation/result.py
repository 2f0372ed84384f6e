"""What `evaluate` found on the test set: the numbers of metrics.json, of the report and of the command line."""

from dataclasses import dataclass
from typing import Any

from destseg.evaluation.metrics import Metrics
from destseg.evaluation.rates import Rates, flat, rates
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics on raw scores, and how often the threshold is wrong."""

    metrics: Metrics
    dest: Metrics | None
    """Of the maps without the segmentation net (the paper's "DeST"); None for a model that has no such net."""
    by_type: dict[str, Metrics]
    """The normal images against those of one defect type."""
    images: dict[str, int]
    """Defect images of each type."""
    counts: dict[str, int | None]
    """normal_images, defect_images, false_rejects, escapes."""
    rates: Rates
    synthetic: bool = False
    """Whether the defects are made, so that the numbers say little about real ones."""

    def summary(self) -> dict[str, Any]:
        """The content of metrics.json."""
        found = {**self.metrics.to_dict(), **self.counts, **self.rates.to_dict()}
        if self.synthetic:
            found["synthetic"] = True
        return found if self.dest is None else {**found, "dest": self.dest.to_dict()}

    def defect_types(self) -> list[dict[str, Any]]:
        """A row for each defect type: images, escapes with their rate and its bounds, metrics."""
        rows = []
        for kind, metrics in self.by_type.items():
            escapes = self.rates.by_type[kind]
            counts = {"images": self.images[kind], "escapes": None if escapes is None else escapes.count}
            rows.append({"defect_type": kind, **counts, **flat("escape", escapes), **metrics.to_dict()})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**self.summary(), "defect_types": self.defect_types()}

    def __str__(self) -> str:
        lines = [f"{'on synthetic defects: ' if self.synthetic else ''}{self.metrics}"]
        if self.dest is not None:
            lines.append(f"without the segmentation net (DeST): {self.dest}")
        if self.rates.false_rejects is not None:
            lines.append(f"falsely rejected: {self.rates.false_rejects}")
        if self.rates.escapes is not None:
            lines.append(f"missed: {self.rates.escapes}")
            lines += [f"  {kind}: {escapes}" for kind, escapes in self.rates.by_type.items()]
        return "\n".join(lines)


def measure(scored: Scored, dest: Scored | None, calibration: Calibration | None) -> Evaluation:
    """All numbers of a test set, given its scores without the segmentation net too."""
    return Evaluation(
        metrics=scored.metrics(),
        dest=None if dest is None else dest.metrics(),
        by_type={kind: scored.metrics_of(kind) for kind in scored.defect_types},
        images={kind: int((scored.kinds == kind).sum()) for kind in scored.defect_types},
        counts=scored.counts(calibration),
        rates=rates(scored, calibration),
        synthetic=scored.synthetic,
    )
