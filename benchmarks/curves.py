"""The picture of quality over minutes in docs/quality.md, from results/changes.json: `python -m benchmarks.curves`."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.changes import RESULTS, Record
from destseg import files

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "quality-curves.svg"
PRODUCTS = {"screw": "#1f6feb", "magnetic_tile": "#d9480f"}
METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}
LEAST, MOST = 1, 64  # minutes
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 360, 260, 44, 30, 40


def of_lengths(records: Sequence[Record], world: str) -> list[Record]:
    """The runs of a product that differ in the number of steps alone, the shortest first."""

    def rest(record: Record) -> Record:
        lengths = {stage: {**record["settings"][stage], "steps": None} for stage in ("student", "segmentation")}
        return {**record["settings"], **lengths}

    mine = [record for record in records if record["world"] == world and record["seed"] == 0]
    shipped = next((rest(record) for record in mine if record["change"] == "as shipped"), None)
    return sorted((one for one in mine if rest(one) == shipped), key=lambda one: one["settings"]["student"]["steps"])


def picture(records: Sequence[Record]) -> str:
    """SVG: for each metric a chart of the sum over minutes, a line for each product."""
    whole, font = WIDTH * len(METRICS), 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {HEIGHT}" {font}>',
        f'<rect width="{whole}" height="{HEIGHT}" fill="white"/>',
    ]
    for number, (metric, title) in enumerate(METRICS.items()):
        parts += [f'<g transform="translate({number * WIDTH} 0)">', *_axes(title)]
        for row, (world, colour) in enumerate(PRODUCTS.items()):
            runs = of_lengths(records, world)
            points = [(_x(run["minutes"]), _y(run["parts"]["sum"][metric])) for run in runs]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
            name = world.replace("_", " ")
            parts.append(f'<text x="{WIDTH - 110}" y="{HEIGHT - 75 + 16 * row}" fill="{colour}">{name}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axes(title: str) -> list[str]:
    right, bottom = WIDTH - 12, HEIGHT - BOTTOM
    parts = [f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>']
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(f'<path d="M{LEFT},{y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10}</text>')
    for minutes in (1, 2, 4, 8, 16, 32, 64):
        x = _x(minutes)
        parts.append(f'<path d="M{x:.1f},{TOP}V{bottom}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{minutes}</text>')
    middle = (LEFT + right) / 2
    return [*parts, f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">minutes on one core</text>']


def _x(minutes: float) -> float:
    share = math.log(minutes / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - 12 - LEFT)


def _y(value: float) -> float:
    return TOP + (1 - value) * (HEIGHT - BOTTOM - TOP)


if __name__ == "__main__":
    files.write_text(PICTURE, picture(json.loads(RESULTS.read_text(encoding="utf-8"))))
