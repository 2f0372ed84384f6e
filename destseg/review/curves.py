"""The curves of both models as the page draws them, with numbers for whoever does not see the drawing."""

from dataclasses import dataclass

import numpy as np

from destseg.evaluation.charts import Line, line_chart
from destseg.review.comparison import Comparison, Curve


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A curve of comparison.json, and how it is read."""

    name: str
    title: str
    meaning: str
    x: str
    y: str
    bound: str
    """Of x, where the curve is read for the table: `at most` or `at least` one of `shares`."""
    shares: tuple[float, ...]


KINDS = (
    Kind(
        name="image_roc",
        title="ROC of the images",
        meaning="how many defects are caught for how many good images falsely rejected; the upper left is best",
        x="good images falsely rejected",
        y="defects caught",
        bound="at most",
        shares=(0.0, 0.01, 0.05, 0.1, 0.2),
    ),
    Kind(
        name="pixel_precision_recall",
        title="Precision and recall of the pixels",
        meaning="how pure the marked area is for how much of the defects it covers; the upper right is best",
        x="recall",
        y="precision",
        bound="at least",
        shares=(0.25, 0.5, 0.75, 0.9, 0.95),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A kind of curve, drawn, and a table of it."""

    kind: Kind
    models: tuple[str, ...]
    """The champion, if there is one, and the challenger, whose line is drawn first, so that the other covers it."""
    svg: str
    rows: tuple[tuple[float, tuple[float | None, ...]], ...]
    """The best y of each model where x is at most, or at least, a share; None where there is no such point."""


def charts(comparison: Comparison) -> list[Chart]:
    """One for each kind that the comparison has points of."""
    models = {"champion": comparison.champion, "challenger": comparison.challenger}
    found = []
    for kind in KINDS:
        curves: dict[str, Curve] = {role: getattr(model.curves, kind.name) for role, model in models.items() if model}
        if any(curves.values()):
            found.append(_chart(kind, curves))
    return found


def _chart(kind: Kind, curves: dict[str, Curve]) -> Chart:
    points = {role: np.array(curve, dtype=np.float64).reshape(-1, 2) for role, curve in curves.items()}
    lines = [Line(name=role, x=points[role][:, 0], y=points[role][:, 1]) for role in reversed(points)]
    label = f"{kind.title}: {' and '.join(curves)}; the table below it has numbers"
    return Chart(
        kind=kind,
        models=tuple(curves),
        svg=line_chart(lines, x_label=kind.x, y_label=kind.y, label=label),
        rows=tuple((share, tuple(_best(curve, kind, share) for curve in curves.values())) for share in kind.shares),
    )


def _best(curve: Curve, kind: Kind, share: float) -> float | None:
    return max((y for x, y in curve if (x <= share if kind.bound == "at most" else x >= share)), default=None)
