"""Charts of the report as inline SVG: they follow the page's colours, light or dark, and load nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 340, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 42
# Of the strip chart: where the rows begin, height of a row, whole width, room at either side, longest name.
_TOP_STRIP, _ROW, _STRIP, _EDGE, _NAME = 32, 46, 720, 14, 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One curve and its name in the legend."""

    name: str
    x: NDArray[np.floating[Any]]
    y: NDArray[np.floating[Any]]


def line_chart(lines: Sequence[Line], *, x_label: str, y_label: str, x_max: float = 1.0, label: str = "") -> str:
    """SVG of curves over 0..x_max and 0..1; `label` is what a screen reader says of it."""
    inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label or y_label)}">']
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


def strip_chart(rows: Sequence[tuple[str, NDArray[np.floating[Any]]]], threshold: float | None) -> str:
    """SVG with a row for each named group of images, a dot for each image at its anomaly score, and the threshold."""
    known = np.concatenate([np.zeros(0), *(scores for _, scores in rows), [] if threshold is None else [threshold]])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    margin = 0.03 * (high - low) or abs(high) / 10 or 0.1
    low, high = low - margin, high + margin
    height, bottom = _TOP_STRIP + _ROW * len(rows) + 30, _TOP_STRIP + _ROW * len(rows)

    def place(score: float) -> float:
        return _EDGE + (score - low) / (high - low) * (_STRIP - 2 * _EDGE)

    parts = [
        f'<svg class="chart strip" viewBox="0 0 {_STRIP} {height}" role="img" '
        f'aria-label="anomaly score of each image, by kind">'
    ]
    for value, text in _ticks(low, high):
        parts.append(f'<path class="grid" d="M{place(value):.1f},{_TOP_STRIP}V{bottom}"/>')
        parts.append(f'<text x="{place(value):.1f}" y="{bottom + 22}" text-anchor="middle">{text}</text>')
    if threshold is not None:
        x = place(threshold)
        anchor = "start" if x < _STRIP / 4 else "end" if x > _STRIP * 3 / 4 else "middle"
        parts.append(f'<path class="threshold" d="M{x:.1f},26V{bottom}"/>')
        parts.append(f'<text class="strong" x="{x:.1f}" y="20" text-anchor="{anchor}">threshold {threshold:.4g}</text>')
    for row, (name, scores) in enumerate(rows):
        top = _TOP_STRIP + _ROW * row
        shown = name if len(name) <= _NAME else name[: _NAME - 1] + "\u2026"
        parts.append(
            f'<text class="name" x="{_EDGE}" y="{top + 15}">{escape(shown)}<title>{escape(name)}</title></text>'
        )
        for index, score in enumerate(np.sort(scores)):
            side = "above" if threshold is not None and score > threshold else "below"
            offset = 32 + (index % 5 - 2) * 4  # spread, so that equal scores do not hide each other
            parts.append(f'<circle class="{side}" cx="{place(score):.1f}" cy="{top + offset}" r="3"/>')
    return "".join(parts) + "</svg>"


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to six round numbers from `low` to `high`, which is larger, and as few digits as tell them apart."""
    scale = 10.0 ** math.floor(math.log10(high - low))
    step = next(size * scale for size in (0.2, 0.5, 1.0, 2.0) if (high - low) / (size * scale) < 6)
    values = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    digits = max(1, math.ceil(math.log10(max(map(abs, (low, high))) / step)) + 1)
    return [(value, f"{value:.{digits}g}") for value in values]
