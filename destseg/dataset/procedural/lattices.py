"""Families of made things: stripes, checks, cloth, bricks. Each function draws one pattern of its family."""

import numpy as np

from destseg.dataset.procedural.noise import (
    Field,
    Generator,
    Pattern,
    between,
    hashed,
    perlin,
    salted,
    smoothstep,
    uniform,
)


def stripes(draw: Generator) -> Pattern:
    """Parallel bands: sine, square, saw or of many widths and tones; straight, zigzag or concentric."""
    period, duty, edge = between(draw, 4, 40), draw.uniform(0.2, 0.8), between(draw, 0.03, 0.4)
    wave = str(draw.choice(["sine", "square", "saw", "barcode"]))
    path = str(draw.choice(["straight", "straight", "zigzag", "rings"]))
    size, tall = between(draw, 8, 40), draw.uniform(0.3, 1)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        if path == "rings":
            x = np.sqrt(x * x + y * y)
        elif path == "zigzag":
            phase = y * (1 / size)
            x = x + (size * tall) * np.abs(phase - np.floor(phase) - 0.5) * 2
        u = x * (1 / period)
        saw: Field = u - np.floor(u)
        if wave == "sine":
            height: Field = 0.5 + 0.5 * np.sin(u * (2 * np.pi))
            return height
        if wave == "square":
            return smoothstep(0, edge, (duty + edge) / 2 - np.abs(saw - 0.5))
        if wave == "saw":
            return saw
        return smoothstep(0.5 - edge, 0.5 + edge, 0.5 + perlin(u, np.zeros_like(u), salted(rng)))

    return pattern


def plaid(draw: Generator) -> Pattern:
    """Checks, tartans, grids and meshes: two profiles, across and along, put together."""
    across, along = between(draw, 5, 36), between(draw, 5, 36)
    along = across if draw.random() < 0.6 else along
    how = str(draw.choice(["check", "sum", "product", "least", "tartan"]))
    duty, edge, colours = draw.uniform(0.1, 0.7), between(draw, 0.03, 0.3), draw.random((2, 8)).astype(np.float32)

    def pattern(x: Field, y: Field, _rng: Generator) -> Field:
        u, v = x * (1 / across), y * (1 / along)
        iu, iv = np.floor(u), np.floor(v)
        if how == "check":
            checks: Field = (iu + iv) % 2
            return checks
        if how == "tartan":
            weft = (np.floor(u * 4) + np.floor(v * 4)) % 2
            tartan: Field = np.where(weft > 0, colours[0][iu.astype(int) % 8], colours[1][iv.astype(int) % 8])
            return tartan
        a = smoothstep(duty - edge, duty, np.abs(u - iu - 0.5) * 2)
        b = smoothstep(duty - edge, duty, np.abs(v - iv - 0.5) * 2)
        return (a + b) / 2 if how == "sum" else a * b if how == "product" else np.maximum(a, b)

    return pattern


def weave(draw: Generator) -> Pattern:
    """Woven cloth: plain, twill, satin or basket; round threads with fibres."""
    thread = between(draw, 3, 16)
    over, shift, size = [(1, 1, 2), (2, 1, 4), (3, 1, 4), (1, 2, 5), (2, 2, 4)][int(draw.integers(5))]
    basket, gap = shift == 2 and over == 2, draw.uniform(0, 0.25)
    fibre, two = draw.uniform(0, 0.4), draw.uniform(0, 0.6)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        u, v = x * (1 / thread), y * (1 / thread)
        iu, iv = np.floor(u), np.floor(v)
        fu, fv = u - iu - 0.5, v - iv - 0.5
        place = (iu // 2 + iv // 2) % 2 * 2 if basket else (iu + shift * iv) % size
        warp_up = place < over
        side, along = np.where(warp_up, fu, fv), np.where(warp_up, fv, fu)
        body = np.sqrt(np.clip(1 - (side * (2 / (1 - gap))) ** 2, 0, 1))
        height: Field = body * (0.65 + 0.35 * np.cos(along * np.pi))
        if fibre > 0.1:
            twist = np.where(warp_up, perlin(u * 6, v, salted(rng)), perlin(u, v * 6, salted(rng)))
            height = height * (1 + fibre * twist)
        return np.where(warp_up, height * (1 - two), height)

    return pattern


def bricks(draw: Generator) -> Pattern:
    """Rows of stones with joints: bricks, tiles, scales, knitted stitches."""
    tall, wide = between(draw, 6, 28), between(draw, 1, 3)
    shift, joint = float(draw.choice([0.0, 0.5, 0.33])), draw.uniform(0.04, 0.2)
    look = str(draw.choice(["brick", "scale", "stitch"], p=[0.5, 0.25, 0.25]))
    tones, rough = draw.random(), draw.random()

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        v = y * (1 / tall)
        if look == "stitch":
            column = x * (1 / tall)
            lean = np.abs(column - np.floor(column) - 0.5) * 2
            stitch = v + lean * 0.8
            bow = stitch - np.floor(stitch) - 0.5
            height: Field = np.sqrt(np.clip(1 - (2 * bow) ** 2, 0, 1))
            return height * smoothstep(0, 0.25, 1 - np.abs(lean - 0.5) * 2)
        iv = np.floor(v)
        u = x * (1 / (tall * wide)) + shift * iv
        iu = np.floor(u)
        h = hashed(iu, iv, salted(rng))
        tone = 1 - 0.6 * tones * uniform(h, 1)
        fu, fv = u - iu, v - iv
        if look == "scale":
            arc: Field = np.abs(np.sqrt((fu - 0.5) ** 2 * 3 + fv * fv) - 0.4)
            return (1 - arc * 1.2) * tone
        edge = np.minimum(np.minimum(fu, 1 - fu) * wide, np.minimum(fv, 1 - fv))
        if rough > 0.5:
            edge = edge + 0.08 * perlin(u * 6, v * 6, salted(rng))
        return smoothstep(joint / 2, joint, edge) * tone

    return pattern


def mesh(draw: Generator) -> Pattern:
    """Wires over and under each other, straight or waved: sieves, chain link, gauze."""
    pitch, wire = between(draw, 5, 36), draw.uniform(0.12, 0.4)
    wave = float(draw.choice([0.0, 0.15, 0.4])) * pitch
    slant, ground = float(draw.choice([0.0, 0.0, 0.6])), draw.uniform(0, 0.4)

    def pattern(x: Field, y: Field, _rng: Generator) -> Field:
        x = x + slant * y
        turn = np.pi / pitch
        u, v = (x + wave * np.sin(y * turn)) * (1 / pitch), (y + wave * np.sin(x * turn)) * (1 / pitch)
        iu, iv = np.floor(u), np.floor(v)
        du, dv = (u - iu - 0.5) / wire, (v - iv - 0.5) / wire
        down, across = np.sqrt(np.clip(1 - du * du, 0, 1)), np.sqrt(np.clip(1 - dv * dv, 0, 1))
        over = (iu + iv) % 2
        top, below = np.where(over > 0, down, across), np.where(over > 0, across, down)
        height: Field = np.maximum(np.where(top > 0, 0.4 + 0.6 * top, 0.7 * below), ground)
        return height

    return pattern


def glyphs(draw: Generator) -> Pattern:
    """Small signs of 3x5 dots on a lattice, out of an alphabet of a few: print, codes, circuits."""
    tall, kinds = between(draw, 9, 40), int(draw.integers(1, 9))
    alphabet = (draw.random((kinds, 5, 3)) < draw.uniform(0.35, 0.75)).astype(np.float32)
    space, missing = float(draw.choice([1.0, 1.4])), float(draw.choice([0.0, 0.0, 0.3]))

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        u, v = x * (1 / (0.66 * tall * space)), y * (1 / (tall * space))
        iu, iv = np.floor(u), np.floor(v)
        h = hashed(iu, iv, salted(rng))
        which = (uniform(h, 0) * kinds).astype(int)
        column = np.floor((u - iu) * 4 * space - 0.5).astype(int)
        row = np.floor((v - iv) * 6 * space - 0.5).astype(int)
        inside = (column >= 0) & (column < 3) & (row >= 0) & (row < 5) & (uniform(h, 1) >= missing)
        ink: Field = alphabet[which, row.clip(0, 4), column.clip(0, 2)] * inside
        return ink

    return pattern
