"""The operating points of a comparison as the slider shows them, and the curve that they lie on."""

from collections.abc import Sequence
from dataclasses import dataclass

from destseg.dataset.layout import GOOD
from destseg.review.comparison import Comparison, Point

WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 420.0, 240.0, 46.0, 40.0, 12.0  # of the drawing, in its own units


@dataclass(frozen=True, kw_only=True)
class Place:
    """A point with what it means for the acceptance set, beside the present one."""

    point: Point
    current: bool
    normals: int
    defects: int
    caught_by_kind: tuple[tuple[str, int, int], ...]
    """(defect type, caught, images)."""
    x: float
    """In the drawing: the share of good images rejected."""
    y: float
    """In the drawing: the share of defects caught."""

    @property
    def caught(self) -> int:
        """Defect images that it rejects."""
        return self.defects - self.point.missed


@dataclass(frozen=True, kw_only=True)
class Slider:
    """All places, the present one's index, and the drawing's lines."""

    places: Sequence[Place]
    current: int
    path: str
    """Of the curve, as SVG has it."""
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    size: tuple[float, float] = (WIDTH, HEIGHT)
    frame: tuple[float, float, float, float] = (LEFT, MARGIN, WIDTH - MARGIN, HEIGHT - BOTTOM)


def slider(comparison: Comparison) -> Slider | None:
    """None for a model without a threshold, or where the comparison says nothing of its present point."""
    if comparison.current is None or len(comparison.operating_points) < 2:
        return None
    normals = comparison.kinds.get(GOOD, 0)
    kinds = {kind: count for kind, count in comparison.kinds.items() if kind != GOOD}
    defects = sum(kinds.values())
    furthest = max((point.false_rejects for point in comparison.operating_points), default=0) / (normals or 1) or 1.0
    left, top, right, bottom = LEFT, MARGIN, WIDTH - MARGIN, HEIGHT - BOTTOM

    def place(index: int, point: Point) -> Place:
        caught = (defects - point.missed) / defects if defects else 0.0
        rejected = point.false_rejects / normals if normals else 0.0
        return Place(
            point=point,
            current=index == comparison.current,
            normals=normals,
            defects=defects,
            caught_by_kind=tuple((kind, count - point.escapes.get(kind, 0), count) for kind, count in kinds.items()),
            x=round(left + (right - left) * rejected / furthest, 1),
            y=round(bottom - (bottom - top) * caught, 1),
        )

    places = [place(index, point) for index, point in enumerate(comparison.operating_points)]
    steps = " ".join(f"{'M' if index == 0 else 'L'}{one.x} {one.y}" for index, one in enumerate(places))
    return Slider(
        places=places,
        current=comparison.current,
        path=steps,
        x_ticks=tuple((left + (right - left) * part, f"{100 * furthest * part:.3g} %") for part in (0, 0.5, 1)),
        y_ticks=tuple((bottom - (bottom - top) * part, f"{100 * part:.0f} %") for part in (0, 0.5, 1)),
    )
