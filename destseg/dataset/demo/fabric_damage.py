"""What can be wrong with cloth: each kind of defect as changes to the weave."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from destseg.dataset.demo.field import UNITS, Field, Grid, blob, curve, ramp, strokes, turbulence


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """The cloth as it lies: samples in units, and the same samples counted in warp (u) and weft (v) threads."""

    at: Grid
    u: Field
    v: Field


@dataclass(frozen=True, kw_only=True)
class Run:
    """A stretch of one thread, in threads: `warp` runs down the picture, weft across."""

    warp: bool
    index: int
    start: float
    stop: float

    def share(self, u: Field, v: Field) -> Field:
        """1 on this stretch, 0 elsewhere, with a short step at its ends; u counts warp threads, v weft threads."""
        across, along = (u, v) if self.warp else (v, u)
        ends = np.clip((along - self.start) * 4 + 0.5, 0, 1) * np.clip((self.stop - along) * 4 + 0.5, 0, 1)
        return np.asarray(ends * (np.floor(across) == self.index), dtype=np.float32)


@dataclass(kw_only=True)
class Damage:
    """Changes to the cloth; empty or None where it is as it should be."""

    gone: list[Run] = field(default_factory=list)
    """Stretches without a thread."""
    floats: list[Run] = field(default_factory=list)
    """Stretches that lie on top, slack, where they should go under and over."""
    pull: tuple[Field, Field] | None = None
    """How far (u, v) the threads are drawn aside, in threads."""
    hole: Field | None = None
    """Depth in units inside a hole."""
    loose: Field | None = None
    """Height of loose yarn above the cloth, 0 to 1."""
    cover: Field | None = None
    """How much a stain covers, 0 to 1."""
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What share of red, green and blue the stain lets back out."""


def _place(rng: np.random.Generator, cloth: Cloth) -> tuple[float, float, float, float]:
    """(x, y) in units, away from the border, and the (u, v) found there."""
    x, y = rng.uniform(40, 216, 2)
    scale = cloth.u.shape[0] / UNITS
    row, column = int(y * scale), int(x * scale)
    return float(x), float(y), float(cloth.u[row, column]), float(cloth.v[row, column])


def _fray(rng: np.random.Generator, shape: tuple[int, int], x: float, y: float, headings: list[float]) -> Field:
    """Loose fibres that start near (x, y)."""
    lines = [
        curve(rng, (x + rng.normal(0, 1.2), y + rng.normal(0, 1.2)), heading, rng.uniform(5, 12), bend=1.3)
        for heading in headings
    ]
    return strokes(shape, lines, 0.7, 0.35)


def _broken_thread(rng: np.random.Generator, cloth: Cloth) -> Damage:
    px, py, pu, pv = _place(rng, cloth)
    warp = bool(rng.random() < 0.5)
    half = rng.uniform(2.0, 3.0) if rng.random() < 0.2 else rng.uniform(4.0, 9.0)
    across, along = (pu, pv) if warp else (pv, pu)
    count = 1 + int(rng.random() < 0.65)
    runs = [
        Run(warp=warp, index=int(across) + k, start=along - half + rng.normal(0, 0.5), stop=along + half)
        for k in range(count)
    ]
    heading = np.pi / 2 if warp else 0.0
    reach = half * 7.0
    loose = np.zeros_like(cloth.u)
    for sign in (-1, 1):
        ex = px + sign * reach * np.cos(heading)
        ey = py + sign * reach * np.sin(heading)
        ends = [heading + (np.pi if sign > 0 else 0) + rng.normal(0, 0.7) for _ in range(4 * count)]
        loose = np.maximum(loose, _fray(rng, cloth.at.shape, ex, ey, ends))
    return Damage(gone=runs, loose=loose)


def _hole(rng: np.random.Generator, cloth: Cloth) -> Damage:
    px, py, _, _ = _place(rng, cloth)
    radius = rng.uniform(5, 7) if rng.random() < 0.2 else rng.uniform(10, 20)
    depth = blob(rng, cloth.at, (px, py), radius, rough=0.16)
    loose = np.zeros_like(cloth.u)
    for _ in range(rng.integers(8, 16)):
        angle = rng.uniform(0, 2 * np.pi)
        edge = (px + 1.05 * radius * np.cos(angle), py + 1.05 * radius * np.sin(angle))
        inward = angle + np.pi + rng.normal(0, 0.5)
        line = curve(rng, edge, inward, rng.uniform(0.35, 0.9) * radius, bend=1.0)
        loose = np.maximum(loose, strokes(cloth.at.shape, [line], rng.choice([0.7, 1.4]), 0.35))
    # The cut threads spring back and crowd around the edge.
    dx, dy = cloth.at.x - px, cloth.at.y - py
    push = 0.4 * np.exp(-((np.hypot(dx, dy) / (1.15 * radius)) ** 8)) / radius
    return Damage(hole=depth, loose=loose, pull=(push * dx, push * dy))


def _misweave(rng: np.random.Generator, cloth: Cloth) -> Damage:
    _, _, pu, pv = _place(rng, cloth)
    warp = bool(rng.random() < 0.5)
    across, along = (pu, pv) if warp else (pv, pu)
    if rng.random() < 0.25:  # one thread, a few crossings
        half, threads = rng.uniform(3.0, 4.5), [0]
    else:  # a harness that did not lift: every second thread floats
        half, threads = rng.uniform(3.0, 7.0), [int(k) for k in 2 * np.arange(rng.integers(2, 5))]
    start, stop = along - half, along + half
    runs = [
        Run(warp=warp, index=int(across) + k, start=start + rng.normal(0, 0.6), stop=stop + rng.normal(0, 0.6))
        for k in threads
    ]
    return Damage(floats=runs)


def _snag(rng: np.random.Generator, cloth: Cloth) -> Damage:
    px, py, pu, pv = _place(rng, cloth)
    warp = bool(rng.random() < 0.5)
    across, along, on = (cloth.u - pu, cloth.v - pv, np.pi / 2) if warp else (cloth.v - pv, cloth.u - pu, 0.0)
    length, width = rng.uniform(2.0, 4.0), rng.uniform(0.6, 1.0)
    gather = rng.uniform(0.7, 1.0) * np.exp(-((across / width) ** 2) - (along / length) ** 2) * along
    pull = (np.zeros_like(cloth.u), -gather) if warp else (-gather, np.zeros_like(cloth.u))
    middle, thread = (pv, pu) if warp else (pu, pv)
    reach = length * rng.uniform(0.5, 0.9)
    taut = Run(warp=warp, index=int(thread), start=middle - reach, stop=middle + reach)
    # The yarn that was drawn out stands off the cloth in a loop.
    side = on + rng.choice([-1, 1]) * np.pi / 2
    size = rng.uniform(7, 13)
    turn = np.linspace(-0.35, np.pi + 0.35, 20)
    lean = rng.uniform(-0.5, 0.5)
    loop = [
        (
            px + size * (0.55 * np.cos(t) * np.cos(on) + np.sin(t) * np.cos(side + lean)),
            py + size * (0.55 * np.cos(t) * np.sin(on) + np.sin(t) * np.sin(side + lean)),
        )
        for t in turn
    ]
    loose = strokes(cloth.at.shape, [loop], 3.0, 0.5)
    return Damage(pull=(pull[0].astype(np.float32), pull[1].astype(np.float32)), loose=loose, floats=[taut])


def _stain(rng: np.random.Generator, cloth: Cloth) -> Damage:
    px, py, _, _ = _place(rng, cloth)
    faint = rng.random() < 0.2
    depth = blob(rng, cloth.at, (px, py), rng.uniform(11, 27), rough=0.3)
    wick = depth + 1.2 * np.cos(2 * np.pi * cloth.u) * np.cos(2 * np.pi * cloth.v)  # yarn soaks further than the gaps
    film = ramp(wick, -1.5, 1.5) * (0.72 + 0.28 * ramp(depth, 4.0, 0.0) + 0.1 * turbulence(rng, cloth.at.shape, 16, 2))
    cover = np.clip(film * (rng.uniform(0.5, 0.65) if faint else rng.uniform(0.8, 1.0)), 0, 1).astype(np.float32)
    tints = ((0.26, 0.22, 0.18), (0.55, 0.31, 0.14), (0.16, 0.15, 0.16))  # oil, rust water, grease
    return Damage(cover=cover, colour=tints[rng.integers(len(tints))])


KINDS: dict[str, Callable[[np.random.Generator, Cloth], Damage]] = {
    "broken_thread": _broken_thread,
    "hole": _hole,
    "misweave": _misweave,
    "snag": _snag,
    "stain": _stain,
}
