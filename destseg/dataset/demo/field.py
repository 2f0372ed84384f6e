"""Arrays over the picture that both products are drawn with. Lengths are in units of 1/256 of the picture's side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]
Point = tuple[float, float]

UNITS = 256.0
"""The side of every picture in units, whatever its pixels."""
OVERSAMPLING = 2
"""Scenes are drawn at this many times the picture's resolution, which anti-aliases every edge."""


class Grid(NamedTuple):
    """x (to the right) and y (down) in units, at the centres of a scene's samples."""

    x: Field
    y: Field

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scene."""
        return self.x.shape[0], self.x.shape[1]


def grid(size: int) -> Grid:
    """The [2 size, 2 size] samples of a picture with `size` pixels a side."""
    count = size * OVERSAMPLING
    axis = ((np.arange(count) + 0.5) * (UNITS / count)).astype(np.float32)
    return Grid(*np.meshgrid(axis, axis))


def cloud(rng: np.random.Generator, shape: tuple[int, int], rows: int, columns: int) -> Field:
    """Smooth noise of about unit variance: rows x columns random values, enlarged bicubically to `shape`."""
    values = rng.standard_normal((rows + 2, columns + 2)).astype(np.float32) * 1.35  # enlarging averages the noise
    box = (0.8, 0.8, columns + 1.2, rows + 1.2)
    return np.asarray(Image.fromarray(values).resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box))


def turbulence(rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int) -> Field:
    """Noise over several scales, each twice as fine and 0.6 times as strong as the one before; unit variance."""
    weights = [0.6**octave for octave in range(octaves)]
    total = np.zeros(shape, np.float32)
    for octave, weight in enumerate(weights):
        total += cloud(rng, shape, cells << octave, cells << octave) * weight
    return total / np.float32(np.sqrt(np.square(weights).sum()))


def ramp(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, a smooth step between; `low` above `high` steps down."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def strokes(shape: tuple[int, int], lines: Sequence[Sequence[Point]], width: float, soft: float) -> Field:
    """0 to 1: polylines (points in units) of a width in units, blurred by `soft` units."""
    scale = shape[0] / UNITS
    image = Image.new("L", (shape[1], shape[0]))
    draw = ImageDraw.Draw(image)
    for line in lines:
        draw.line(
            [(x * scale, y * scale) for x, y in line], fill=255, width=max(1, round(width * scale)), joint="curve"
        )
    sharp = np.asarray(image, dtype=np.float32) / 255
    return np.asarray(gaussian_filter(sharp, soft * scale, truncate=3), dtype=np.float32)


def curve(rng: np.random.Generator, start: Point, heading: float, length: float, *, bend: float) -> list[Point]:
    """A wandering line of 24 steps; `bend` is how far (radians) its heading drifts by the end, about."""
    steps = 24
    turns = rng.normal(0, bend / np.sqrt(steps), steps) + rng.normal(0, bend / steps)
    headings = heading + np.cumsum(turns)
    x = start[0] + np.cumsum(np.cos(headings)) * length / steps
    y = start[1] + np.cumsum(np.sin(headings)) * length / steps
    return [start, *zip(x.tolist(), y.tolist(), strict=True)]


def blob(rng: np.random.Generator, at: Grid, centre: Point, radius: float, *, rough: float) -> Field:
    """Signed depth in units (positive inside) of an irregular patch, its outline disturbed by `rough` radii."""
    stretch, angle = rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    dx, dy = at.x - centre[0], at.y - centre[1]
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.hypot(along * stretch, across / stretch)
    cells = int(np.clip(UNITS / radius, 4, 40))
    return np.asarray(radius * (1 + rough * turbulence(rng, at.shape, cells, 3)) - distance, dtype=np.float32)
