"""Families of scattered things: cells, dots, leaves, marks. Each function draws one pattern of its family."""

import numpy as np

from destseg.dataset.procedural.noise import (
    Field,
    Generator,
    Hash,
    Pattern,
    between,
    cells,
    hashed,
    salted,
    smoothstep,
    turned,
    uniform,
)


def voronoi(draw: Generator) -> Pattern:
    """Cells: domes, cracks between them, flat tones, scales; from a regular lattice to scattered points."""
    size, jitter = between(draw, 5, 40), float(draw.choice([0.0, 0.3, 0.7, 1.0]))
    power = int(draw.choice([1, 2, 2, 2, 9]))
    look, edge = str(draw.choice(["dome", "crack", "tone", "facet", "second"])), between(draw, 0.04, 0.4)
    stretch, shear = between(draw, 0.5, 2), float(draw.choice([0.0, 0.0, 0.5]))

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        v = y * (stretch / size)
        u = x * (1 / size) + shear * np.floor(v)
        first, second, owner = cells(u, v, salted(rng), jitter=jitter, power=power)
        if look == "dome":
            return 1 - first * 1.2
        if look == "crack":
            return smoothstep(0, edge, second - first) * (0.75 + 0.25 * uniform(owner, 2))
        if look == "tone":
            return uniform(owner, 2)
        if look == "facet":
            slope = (uniform(owner, 2) - 0.5) * (u - np.floor(u)) + (uniform(owner, 3) - 0.5) * (v - np.floor(v))
            height: Field = 0.5 + 0.8 * slope
            return height
        return second * 0.8

    return pattern


def _shape(kind: str, dx: Field, dy: Field, h: Hash) -> Field:
    """Distance-like measure of one shape per cell: below 1 inside, with reach 1 from the centre."""
    if kind == "mixed":
        disc, square = np.sqrt(dx * dx + dy * dy), np.maximum(np.abs(dx), np.abs(dy)) * 1.35
        return np.where(uniform(h, 3) < 0.5, disc, square)
    if kind == "square":
        return np.maximum(np.abs(dx), np.abs(dy)) * 1.35
    if kind == "diamond":
        return np.abs(dx) + np.abs(dy)
    radius: Field = np.sqrt(dx * dx + dy * dy)
    if kind == "star":
        radius = radius * (1.4 + 0.6 * np.cos(5 * np.arctan2(dy, dx)))
    elif kind == "ring":
        radius = np.abs(radius - 0.7) * 3.4
    return radius


def dots(draw: Generator) -> Pattern:
    """A lattice of shapes, with jitter, gaps and sizes: perforated sheet, buttons, rivets, pores."""
    size, fill = between(draw, 5, 36), float(draw.choice([1.0, 1.0, 0.7, 0.35]))
    jitter = float(draw.choice([0.0, 0.1, 0.5, 1.0]))
    kind = str(draw.choice(["disc", "disc", "square", "diamond", "star", "ring", "mixed"]))
    radius, vary, soft = draw.uniform(0.18, 0.48), float(draw.choice([0.0, 0.0, 0.5, 0.9])), between(draw, 0.05, 0.9)
    shift, tones = float(draw.choice([0.0, 0.5])), float(draw.choice([0.0, 0.5, 1.0]))

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        v = y * (1 / size)
        iy = np.floor(v)
        u = x * (1 / size) + shift * iy
        ix = np.floor(u)
        h = hashed(ix, iy, salted(rng))
        reach = radius * (1 - vary * uniform(h, 2))
        room = jitter * (0.5 - reach) * 2
        dx = (u - ix - 0.5 - room * (uniform(h, 0) - 0.5)) / reach
        dy = (v - iy - 0.5 - room * (uniform(h, 1) - 0.5)) / reach
        inside = 1 - smoothstep(1 - soft, 1.0 + 0.15, _shape(kind, dx, dy, h))
        present = uniform(h ^ (h >> np.uint32(13)), 3) < fill
        height: Field = inside * present * (1 - tones * uniform(h, 3))
        return height

    return pattern


def leaves(draw: Generator) -> Pattern:
    """Dead leaves: shapes of many sizes lying on each other (Lee, Mumford and Huang 2001), or fibres, chips, grass."""
    kind = str(draw.choice(["disc", "square", "diamond", "mixed", "ring"], p=[0.3, 0.25, 0.15, 0.2, 0.1]))
    low = between(draw, 4, 12)
    high, layers = low * between(draw, 1.2, 8), int(draw.integers(8, 20))
    longer, aligned = between(draw, 1, 14) if draw.random() < 0.6 else 1.0, draw.uniform(0, np.pi)
    edge, shade = between(draw, 0.03, 0.5), float(draw.choice([0.0, 0.3, 0.8]))

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        out = np.full_like(x, 0.3)
        for size in np.sort(low * (high / low) ** rng.random(layers))[::-1]:
            # One lattice a layer, turned at random: a shape stays inside its cell, so each pixel asks one cell only.
            u, v = turned(x, y, rng.normal(0, aligned), 1 / size)
            u, v = u / longer + rng.random(), v + rng.random()
            ix, iy = np.floor(u), np.floor(v)
            h = hashed(ix, iy, salted(rng))
            reach = 0.25 + 0.2 * uniform(h, 2)
            dx = (u - ix - 0.5) / reach + 0.4 * (uniform(h, 0) - 0.5)
            dy = (v - iy - 0.5) / reach + 0.4 * (uniform(h, 1) - 0.5)
            measure = _shape(kind, dx, dy, h)
            cover = 1 - smoothstep(1 - edge, 1.0, measure)
            tone = uniform(h ^ (h >> np.uint32(11)), 1) * (1 - shade * np.clip(measure, 0, 1))
            out += cover * (tone - out)
        return out

    return pattern


def scratches(draw: Generator) -> Pattern:
    """Thin marks, straight or bent, in one direction or all."""
    count, length, thin = int(draw.integers(3, 14)), between(draw, 20, 120), between(draw, 0.5, 2.0)
    spread, bend, period = float(draw.choice([0.05, 0.4, 2.0])), draw.uniform(0, 8), between(draw, 6, 24)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        out = np.zeros_like(x)
        for _ in range(count):
            u, v = turned(x, y, rng.normal(0, spread))
            u, v = u / length + rng.random(), v / period + rng.random()
            ix, iy = np.floor(u), np.floor(v)
            h = hashed(ix, iy, salted(rng))
            along = u - ix
            bow = (bend / period) * (uniform(h, 0) - 0.5) * (along - along * along)
            off = np.abs(v - iy - 0.3 - 0.4 * uniform(h, 1) - bow) * (period / thin)
            fade = np.minimum(1, np.minimum(along, 1 - along) * 8) * (uniform(h, 2) > 0.4) * uniform(h, 3)
            out = np.maximum(out, np.clip(1.5 - off, 0, 1) * fade)
        return out

    return pattern


def contours(draw: Generator) -> Pattern:
    """Closed outlines of a few waves, nested, on a jittered lattice: stamps, shells, gaskets (after Kataoka 2022)."""
    size, rings = between(draw, 14, 60), int(draw.integers(1, 6))
    waves = draw.integers(2, 9, size=3).astype(np.float32)
    depths, phases = draw.uniform(0.0, 0.25, 3), draw.uniform(0, 2 * np.pi, 3)
    thick, filled, jitter = draw.uniform(0.15, 0.8), draw.random() < 0.4, draw.uniform(0, 0.5)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        u, v = x * (1 / size), y * (1 / size)
        iu, iv = np.floor(u), np.floor(v)
        h = hashed(iu, iv, salted(rng))
        dx = u - iu - 0.5 - 0.3 * jitter * (uniform(h, 0) - 0.5)
        dy = v - iv - 0.5 - 0.3 * jitter * (uniform(h, 1) - 0.5)
        angle = np.arctan2(dy, dx) + 2 * np.pi * jitter * uniform(h, 2)
        bent = 1 + sum(d * np.cos(w * angle + p) for d, w, p in zip(depths, waves, phases, strict=True))
        radius = np.sqrt(dx * dx + dy * dy) / (0.36 * bent.clip(0.3))
        level = radius * rings
        line: Field = smoothstep(0, 0.2, thick / 2 + 0.1 - np.abs(level - np.floor(level) - 0.5))
        body = 0.5 * (radius < 1) if filled else 0.0
        height: Field = np.maximum(line * (radius < 1), body)
        return height

    return pattern
