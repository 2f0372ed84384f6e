"""Plain-woven cloth over a dark table, as linear light."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from destseg.dataset.demo.fabric_damage import KINDS, Cloth, Damage
from destseg.dataset.demo.field import UNITS, Field, cloud, curve, grid, ramp, strokes

PITCH = 8.0
"""Units from thread to thread."""
WARP = np.asarray((0.150, 0.215, 0.300), np.float32)
WEFT = np.asarray((0.400, 0.405, 0.385), np.float32)
TABLE = np.asarray((0.016, 0.016, 0.017), np.float32)


def scene(rng: np.random.Generator, size: int, kind: str, defect_rng: np.random.Generator) -> Field:
    """Linear light [2 size, 2 size, 3]; the good cloth is the same for every `kind` of one `rng`."""
    at = grid(size)
    (x, y), shape = at, at.shape
    angle, pitch = rng.normal(0, 0.022), PITCH * rng.normal(1, 0.012)
    cos, sin = np.cos(angle) / pitch, np.sin(angle) / pitch
    u = x * np.float32(cos) + y * np.float32(sin) + np.float32(rng.uniform(8, 24))
    v = y * np.float32(cos) - x * np.float32(sin) + np.float32(rng.uniform(8, 24))
    u += 0.16 * cloud(rng, shape, 3, 3) + 0.05 * cloud(rng, shape, 10, 24)
    v += 0.16 * cloud(rng, shape, 3, 3) + 0.05 * cloud(rng, shape, 24, 10)
    damage = KINDS[kind](defect_rng, Cloth(at=at, u=u, v=v)) if kind in KINDS else Damage()
    if damage.pull is not None:
        u, v = u - damage.pull[0], v - damage.pull[1]
    albedo, height = _weave(rng, u, v, damage)
    return _lit(rng, x, y, albedo, height, damage)


def _weave(rng: np.random.Generator, u: Field, v: Field, damage: Damage) -> tuple[Field, Field]:
    """(albedo [H, W, 3], height in threads [H, W]) of threads that go over and under each other."""
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    over = 1 - 2 * ((column + row) & 1).astype(np.float32)
    a, b = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    crimp = 0.26
    warp_lift, weft_lift = crimp * over * np.cos(np.pi * b), -crimp * over * np.cos(np.pi * a)
    for run in damage.floats:
        share = run.share(u, v)
        level = 1.5 * crimp if run.warp else -crimp
        warp_lift = warp_lift + (level - warp_lift) * share
        weft_lift = weft_lift + ((0.5 * crimp if not run.warp else 0) - level - weft_lift) * share
    warp, warp_tone = _threads(rng, u, v, a, column)
    weft, weft_tone = _threads(rng, v, u, b, row)
    warp, weft = warp + warp_lift, weft + weft_lift
    for run in damage.gone:
        lost = 3 * run.share(u, v)
        warp, weft = (warp - lost, weft) if run.warp else (warp, weft - lost)
    top = np.maximum(warp, weft)
    which = ramp(warp - weft, -0.02, 0.02)[..., None]
    albedo = which * (warp_tone[..., None] * WARP) + (1 - which) * (weft_tone[..., None] * WEFT)
    gap = ramp(top, -0.62, -0.75)
    if damage.hole is not None:
        gap = np.maximum(gap, ramp(damage.hole, -0.4, 0.4))
    albedo += (TABLE - albedo) * gap[..., None]
    return albedo.astype(np.float32), np.maximum(top, -0.8) * (1 - gap) - 0.8 * gap


def _threads(
    rng: np.random.Generator, across: Field, along: Field, offset: Field, index: NDArray[np.int32]
) -> tuple[Field, Field]:
    """(height of the round yarn, its tone) of one system of threads, each spun a little differently along itself."""
    count, detail = 64, 8
    thickness = cloud(rng, (count, count * detail), count, count) * 0.055 + rng.normal(0, 0.03, (count, 1)).astype(
        np.float32
    )
    slubs = np.maximum(cloud(rng, (count, count * detail), count, count // 3) - 2.4, 0) * 0.15
    shade = cloud(rng, (count, count * detail), count, count) * 0.05 + rng.normal(0, 0.05, (count, 1)).astype(
        np.float32
    )
    line, place = index % count, (along * detail).astype(np.int32) % (count * detail)
    radius = (0.50 + thickness + slubs)[line, place]
    own = shade[line, place]
    inside = 1 - np.square(offset / radius)
    height = 0.5 * np.sqrt(np.maximum(inside, 0)) - 1.2 * (inside < 0)
    # Two plies twisted together: oblique ridges along the yarn.
    ply = np.cos(float(2 * np.pi) * (1.55 * along + offset) + 6 * own)
    fibres = cloud(rng, across.shape, 190, 190)
    tone = 1 + own + 0.10 * ply + 0.07 * fibres
    return np.asarray(height + 0.035 * ply + 0.012 * fibres, dtype=np.float32), np.asarray(tone, dtype=np.float32)


def _lit(rng: np.random.Generator, x: Field, y: Field, albedo: Field, height: Field, damage: Damage) -> Field:
    """The cloth under a lamp from the upper left, with folds, fuzz, and whatever lies loose on it."""
    shape, scale = x.shape, x.shape[0] / UNITS
    azimuth, gradient = rng.normal(-2.3, 0.15), rng.uniform(0.10, 0.28)
    lx, ly = np.float32(np.cos(azimuth)), np.float32(np.sin(azimuth))
    folds = 0.05 * cloud(rng, shape, 2, 3) + 0.03 * cloud(rng, shape, 6, 4)
    fuzz_lines = [
        curve(rng, (rng.uniform(0, 256), rng.uniform(0, 256)), rng.uniform(0, 7), rng.uniform(4, 12), bend=1.5)
        for _ in range(rng.integers(4, 12))
    ]
    fuzz = strokes(shape, fuzz_lines, 0.5, 0.35) * rng.uniform(0.05, 0.12)
    down, right = np.gradient(height * np.float32(PITCH), 1 / scale)
    facing = (0.80 - 0.42 * (right * lx + down * ly)) / np.sqrt(1 + 0.55 * (right * right + down * down))
    depth = 0.38 + 0.62 * ramp(height, -0.55, 0.62)
    slope = ((x - 128) * lx + (y - 128) * ly) / 128
    lamp = 1.25 * (1 + gradient * slope) * (1 + folds)
    if damage.cover is not None:
        albedo = albedo * (1 - damage.cover[..., None] * (1 - np.asarray(damage.colour, np.float32)))
    shade = np.maximum(facing, 0.12) * depth * lamp
    light = albedo * shade[..., None] + fuzz[..., None]
    if damage.loose is not None:
        reach = max(1, round(2.2 * scale))
        shadow = np.roll(gaussian_filter(damage.loose, 0.9 * scale, truncate=3), (reach, reach), (0, 1))
        light *= (1 - 0.75 * np.clip(1.3 * shadow, 0, 1))[..., None]
        round_light = 0.7 + 0.75 * damage.loose
        yarn = (0.25 * WARP + 0.85 * WEFT) * (round_light * lamp * 0.8)[..., None]
        light += (yarn - light) * np.clip(damage.loose * 1.3, 0, 1)[..., None]
    return np.asarray(light, dtype=np.float32)
