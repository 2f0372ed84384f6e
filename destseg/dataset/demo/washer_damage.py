"""What can be wrong with a washer: each kind of defect as fields that the washer is drawn with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from destseg.dataset.demo.field import Field, Grid, Point, blob, cloud, curve, ramp, strokes, turbulence


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Where the washer lies, in units: its centre, its radius, its hole's radius."""

    x: float
    y: float
    outer: float
    inner: float

    def point(self, radius: float, angle: float) -> Point:
        """The point at this distance and direction from the centre."""
        return self.x + radius * float(np.cos(angle)), self.y + radius * float(np.sin(angle))


@dataclass(kw_only=True)
class Damage:
    """Fields over the picture; None where the washer is as it should be."""

    cut: Field | None = None
    """Depth in units inside a piece that has broken out (positive: no metal)."""
    fill: Field | None = None
    """Depth in units inside metal that should have been drilled away (positive: metal)."""
    height: Field | None = None
    """Height of the surface in units, 0 where it is flat."""
    cover: Field | None = None
    """How much of the surface a stain covers, 0 to 1."""
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The stain's linear colour, times the diffuse light."""
    gloss: float = 0.0
    """What share of the metal's highlight shows through the stain."""


def _scratch(rng: np.random.Generator, at: Grid, pose: Pose) -> Damage:
    faint = rng.random() < 0.25
    length = rng.uniform(20, 32) if faint else rng.uniform(34, 70)
    angle = rng.uniform(0, 2 * np.pi)
    middle = pose.point(rng.uniform(pose.inner + 14, pose.outer - 14), angle)
    # Never along the turning marks: such a scratch would be one of them.
    heading = angle + rng.choice([-1, 1]) * rng.uniform(0.2, 1.15) + np.pi * rng.integers(2)
    start = (middle[0] - 0.5 * length * np.cos(heading), middle[1] - 0.5 * length * np.sin(heading))
    lines = [curve(rng, start, heading, length, bend=0.22)]
    for _ in range(rng.integers(0, 3)):
        near = (start[0] + rng.normal(0, 3.5), start[1] + rng.normal(0, 3.5))
        lines.append(curve(rng, near, heading + rng.normal(0, 0.06), length * rng.uniform(0.3, 0.9), bend=0.3))
    groove = strokes(at.shape, lines[:1], rng.uniform(1.6, 2.4), 0.55)
    for line in lines[1:]:
        groove = np.maximum(groove, 0.8 * strokes(at.shape, [line], 1.5, 0.5))
    burr = strokes(at.shape, lines, 3.6, 1.1)
    chatter = 1 + 0.2 * cloud(rng, at.shape, 40, 40)
    depth = rng.uniform(0.6, 0.8) if faint else rng.uniform(1.4, 2.2)
    return Damage(height=(0.45 * burr - 1.3 * groove) * chatter * np.float32(depth))


def _dent(rng: np.random.Generator, at: Grid, pose: Pose) -> Damage:
    height = np.zeros_like(at.x)
    angle = rng.uniform(0, 2 * np.pi)
    for _ in range(rng.integers(1, 4)):
        radius = rng.uniform(4.0, 8.5)
        centre = pose.point(rng.uniform(pose.inner + radius + 5, pose.outer - radius - 5), angle + rng.normal(0, 0.25))
        inside = blob(rng, at, centre, radius, rough=0.12)
        depth = rng.uniform(0.9, 1.7)
        height += depth * (0.35 * ramp(inside, -3.0, 0.5) - 1.6 * ramp(inside, -0.5, 0.75 * radius))
    return Damage(height=height)


def _chip(rng: np.random.Generator, at: Grid, pose: Pose) -> Damage:
    angle = rng.uniform(0, 2 * np.pi)
    radius = rng.uniform(8, 11) if rng.random() < 0.2 else rng.uniform(14, 25)
    centre = pose.point(pose.outer + radius * rng.uniform(-0.25, 0.1), angle)
    ragged = 0.6 * cloud(rng, at.shape, 36, 36) + 0.35 * cloud(rng, at.shape, 90, 90)
    return Damage(cut=blob(rng, at, centre, radius, rough=0.12) + ragged)


def _missing_hole(rng: np.random.Generator, at: Grid, pose: Pose) -> Damage:
    if rng.random() < 0.5:  # never drilled: only the mark of a drill that touched
        metal = np.full_like(at.x, 50.0)
        distance = np.hypot(at.x - pose.x - rng.normal(0, 1.5), at.y - pose.y - rng.normal(0, 1.5))
        mark = rng.uniform(3.5, 8.0)
        return Damage(fill=metal, height=-1.6 * ramp(distance, mark, 0.2) + 0.4 * ramp(distance, mark + 2.5, mark))
    # drilled off its place: a slug of metal is left on one side
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.1) * pose.inner
    dx, dy = at.x - pose.x, at.y - pose.y
    along, across = float(np.cos(angle)), float(np.sin(angle))
    edge = dx * along + dy * across - (pose.inner - reach)
    bulge = np.square(dy * along - dx * across) * (0.012 * rng.uniform(-0.6, 1.0))
    return Damage(fill=(edge + bulge + 0.7 * cloud(rng, at.shape, 30, 30)).astype(np.float32))


def _stain(rng: np.random.Generator, at: Grid, pose: Pose) -> Damage:
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(11, 25)
    centre = pose.point(rng.uniform(pose.inner + 6, pose.outer - 6), angle)
    depth = blob(rng, at, centre, radius, rough=0.3)
    if rng.random() < 0.5:  # rust: matt, blotched, its border eaten into the metal
        grain = turbulence(rng, at.shape, 40, 3)
        cover = ramp(depth + 2.5 * grain, -1.5, 5.0) * np.clip(0.85 + 0.22 * grain, 0.2, 1)
        red = rng.uniform(0.26, 0.36)
        return Damage(cover=cover.astype(np.float32), colour=(red, red * 0.40, red * 0.15), gloss=0.08)
    # oil: a dark film, thicker where it has crept to its border
    thin = rng.random() < 0.3
    film = ramp(depth, -0.8, 1.2) * (0.74 + 0.24 * ramp(depth, 4.5, 0.3) + 0.08 * turbulence(rng, at.shape, 12, 3))
    strength = rng.uniform(0.5, 0.65) if thin else rng.uniform(0.85, 1.0)
    cover = np.clip(film * strength, 0, 1)
    return Damage(cover=cover.astype(np.float32), colour=(0.050, 0.030, 0.012), gloss=0.10)


KINDS: dict[str, Callable[[np.random.Generator, Grid, Pose], Damage]] = {
    "chip": _chip,
    "dent": _dent,
    "missing_hole": _missing_hole,
    "scratch": _scratch,
    "stain": _stain,
}
