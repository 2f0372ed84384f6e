"""Charts of the report as inline SVG: they follow the page's colours, light or dark, and load nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 340, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 42
_ROW, _NAMES, _STRIP = 34, 130, 900  # of the strip chart: height of a row, width of the names, whole width


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One curve and its name in the legend."""

    name: str
    x: NDArray[np.floating[Any]]
    y: NDArray[np.floating[Any]]


def line_chart(lines: Sequence[Line], *, x_label: str, y_label: str, x_max: float = 1.0) -> str:
    """SVG of curves over 0..x_max and 0..1."""
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for step in range(6):
        share = step / 5
        x, y = _LEFT + share * inner_width, _TOP + (1 - share) * inner_height
        parts.append(
            f'<path class="grid" d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}M{x:.1f},{_TOP}V{_TOP + inner_height}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{share * x_max:.2g}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.2g}</text>')
    for number, line in enumerate(lines):
        xs = _LEFT + line.x / x_max * inner_width
        ys = _TOP + (1 - line.y) * inner_height
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline class="line line{number}" points="{points}"/>')
    parts.append(f'<text x="{_LEFT + inner_width / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(11 {_TOP + inner_height / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text></svg>"
    )
    return "".join(parts)


def strip_chart(rows: Mapping[str, NDArray[np.floating[Any]]], threshold: float | None) -> str:
    """SVG with a row for each kind of image, a dot for each image at its anomaly score, and the threshold."""
    top = max([threshold or 0.0, *(float(scores.max()) for scores in rows.values() if scores.size)], default=0.0) or 1.0
    span = _STRIP - _NAMES - 20
    height = _ROW * len(rows) + 44

    def place(score: float) -> float:
        return _NAMES + max(0.0, score) / (1.02 * top) * span

    parts = [
        f'<svg class="chart" viewBox="0 0 {_STRIP} {height}" role="img" aria-label="anomaly score by kind of image">'
    ]
    for row, (kind, scores) in enumerate(rows.items()):
        middle = 20 + _ROW * (row + 0.5)
        parts.append(f'<path class="grid" d="M{_NAMES},{middle}H{_STRIP - 20}"/>')
        parts.append(f'<text x="{_NAMES - 12}" y="{middle + 4}" text-anchor="end">{escape(kind)}</text>')
        for index, score in enumerate(np.sort(scores)):
            side = "above" if threshold is not None and score > threshold else "below"
            offset = (index % 5 - 2) * 4  # spread, so that equal scores do not hide each other
            parts.append(f'<circle class="{side}" cx="{place(score):.1f}" cy="{middle + offset}" r="3"/>')
    bottom = 20 + _ROW * len(rows)
    for value in _round_steps(top):
        parts.append(f'<text x="{place(value):.1f}" y="{bottom + 18}" text-anchor="middle">{value:.3g}</text>')
    if threshold is not None:
        x = place(threshold)
        parts.append(f'<path class="threshold" d="M{x:.1f},16V{bottom}"/>')
        parts.append(f'<text class="strong" x="{x:.1f}" y="11" text-anchor="middle">threshold {threshold:.3g}</text>')
    return "".join(parts) + "</svg>"


def _round_steps(top: float) -> NDArray[np.float64]:
    """Three to six round numbers from 0 up to `top`, which is above 0."""
    scale = 10.0 ** np.floor(np.log10(top))
    step = next(size * scale for size in (0.2, 0.25, 0.5, 1.0, 2.0) if top / (size * scale) < 6)
    return np.arange(0.0, top + step / 1e6, step)
