"""A turned steel washer on a dark conveyor belt, as linear light."""

import numpy as np

from destseg.dataset.demo.field import UNITS, Field, cloud, curve, grid, ramp, strokes
from destseg.dataset.demo.washer_damage import KINDS, Damage, Pose

CHAMFER = 4.2
STEEL = np.asarray((0.965, 0.985, 1.0), np.float32)
BELT = np.asarray((0.92, 1.0, 1.04), np.float32)


def scene(rng: np.random.Generator, size: int, kind: str, defect_rng: np.random.Generator) -> Field:
    """Linear light [2 size, 2 size, 3]; the good part is the same for every `kind` of one `rng`."""
    at = grid(size)
    x, y = at
    scale = rng.normal(1, 0.012)
    across, down = np.clip(rng.normal(128, 2.5, 2), 121, 135).tolist()
    pose = Pose(x=across, y=down, outer=91 * scale, inner=39 * scale)
    damage = KINDS[kind](defect_rng, at, pose) if kind in KINDS else Damage()
    azimuth = rng.normal(-2.2, 0.13)
    light = np.asarray((np.cos(azimuth), np.sin(azimuth)), np.float32)
    belt = _belt(rng, x, y, light, pose, damage)
    metal, solid = _metal(rng, x, y, light, pose, damage)
    return np.asarray(belt + (metal - belt) * solid[..., None], dtype=np.float32)


def _outline(x: Field, y: Field, pose: Pose, damage: Damage, *, taper: float = 0.0) -> Field:
    """Depth in units inside the metal, negative outside; `taper` widens it towards the belt."""
    radius = np.hypot(x - pose.x, y - pose.y)
    hole = radius - pose.inner + taper
    if damage.fill is not None:
        hole = np.maximum(hole, damage.fill)
    depth = np.minimum(pose.outer - radius + 0.3 * taper, hole)
    if damage.cut is not None:
        depth = np.minimum(depth, -damage.cut + taper * 1.6)  # a fracture slopes
    return np.asarray(depth, dtype=np.float32)


def _shifted(field: Field | None, dx: float, dy: float) -> Field | None:
    """The field moved by whole samples, for shadows; its borders hold nothing of interest."""
    if field is None:
        return None
    scale = field.shape[0] / UNITS
    return np.roll(field, (round(dy * scale), round(dx * scale)), (0, 1))


def _belt(rng: np.random.Generator, x: Field, y: Field, light: Field, pose: Pose, damage: Damage) -> Field:
    """The belt: embossed rubber with streaks along its run, lint, and the washer's shadow."""
    shape = x.shape
    tilt, pitch = rng.normal(0, 0.02), 1.35
    along, across = x + y * tilt + rng.uniform(0, 9), y - x * tilt + rng.uniform(0, 9)
    emboss = np.sin(along * pitch) * np.sin(across * pitch)
    rubber = 1 + 0.24 * emboss + 0.10 * cloud(rng, shape, 9, 9) + 0.07 * cloud(rng, shape, 70, 5)
    rubber += 0.16 * cloud(rng, shape, 200, 200)
    slope = ((x - 128) * light[0] + (y - 128) * light[1]) / 128
    rubber *= 0.030 * (1 + rng.uniform(0.15, 0.35) * slope)
    lint = [
        curve(rng, (rng.uniform(0, 256), rng.uniform(0, 256)), rng.uniform(0, 7), rng.uniform(5, 16), bend=1.2)
        for _ in range(rng.integers(2, 7))
    ]
    rubber += strokes(shape, lint, 0.5, 0.4) * rng.uniform(0.03, 0.07)
    specks = cloud(rng, shape, 230, 230)
    rubber += ramp(specks, 3.3, 4.6) * 0.06
    reach = rng.uniform(6.0, 9.0)
    moved = Damage(
        cut=_shifted(damage.cut, -light[0] * reach, -light[1] * reach),
        fill=_shifted(damage.fill, -light[0] * reach, -light[1] * reach),
    )
    cast = ramp(_outline(x + light[0] * reach, y + light[1] * reach, pose, moved), -4.0, 3.0)
    contact = np.exp(np.minimum(_outline(x, y, pose, damage), 0) / 5.0)
    rubber *= (1 - 0.68 * cast) * (1 - 0.5 * contact)
    return np.asarray(rubber[..., None] * BELT, dtype=np.float32)


def _metal(
    rng: np.random.Generator, x: Field, y: Field, light: Field, pose: Pose, damage: Damage
) -> tuple[Field, Field]:
    """Linear light of the metal, and how much of each sample it fills (0 to 1)."""
    dx, dy = x - pose.x, y - pose.y
    radius = np.maximum(np.hypot(dx, dy), 1e-3)
    cos, sin = dx / radius, dy / radius
    rings, arcs = _turning_marks(rng, radius, np.arctan2(dy, dx))
    # Kajiya-Kay's strand highlight: turned grooves mirror the lamp where they run square to it, hence the bow tie.
    lamp = np.asarray((0.46, 0.46), np.float32) * light
    near = rng.uniform(0.0010, 0.0018)
    across = cos * (lamp[1] - near * dy) - sin * (lamp[0] - near * dx) + 0.035 * arcs
    second = cos * np.float32(-0.40 * light[0]) - sin * np.float32(0.40 * light[1]) + 0.03 * arcs
    facing = cos * light[0] + sin * light[1]
    highlight = 0.60 * np.exp(-((across / 0.14) ** 2)) * (1 + 0.2 * facing) + 0.20 * np.exp(-((across / 0.36) ** 2))
    highlight += rng.uniform(0.07, 0.12) * np.exp(-((second / 0.12) ** 2))
    finish = 1 + 0.15 * rings + 0.10 * arcs
    shine = (0.075 + highlight) * finish
    diffuse = 0.16 * (1 + 0.12 * facing + 0.05 * cloud(rng, x.shape, 6, 6))
    rough = cloud(rng, x.shape, 120, 120)
    raw = 0.17 * (1 + 0.16 * cloud(rng, x.shape, 14, 14) + 0.07 * rough)

    top = _outline(x, y, pose, damage)
    if damage.fill is not None:  # metal no tool has turned: rolled, dull
        unturned = ramp(pose.inner - radius, -0.8, 0.8)
        shine = shine + (raw - shine) * unturned
    dust = ramp(cloud(rng, x.shape, 230, 230), 3.2, 4.2)
    facets = cloud(rng, x.shape, 60, 60)
    lean = Pose(x=pose.x + rng.normal(0, 0.7), y=pose.y + rng.normal(0, 0.7), outer=pose.outer, inner=pose.inner)

    grey = _bevels((shine + 0.35 * diffuse) * (1 - 0.35 * dust), top, radius, facing, pose, rings + 0.6 * arcs)
    if damage.height is not None:
        grey = _relief(grey, damage.height, light)
    surface = grey[..., None] * STEEL
    if damage.cover is not None:
        film = damage.cover[..., None]
        lit = (diffuse * (5.5 + 1.2 * rough))[..., None] * np.asarray(damage.colour, np.float32)
        surface = surface * (1 - film * np.float32(1 - damage.gloss)) + lit * film

    # The wall below the top edge: the camera does not look straight down the hole, and a fracture is not square.
    wall = 0.05 * (1 - 0.55 * facing) * (1 + 0.15 * rough)
    if damage.cut is not None:
        broken = ramp(damage.cut, -3.0, 0.0)
        wall = wall + broken * (0.16 * (1 + 0.55 * rough + 0.35 * facets) - wall)
    body = wall[..., None] * STEEL
    body = body + (surface - body) * ramp(top, -0.35, 0.35)[..., None]
    foot = _outline(x, y, lean, damage, taper=1.5)
    return np.asarray(body, dtype=np.float32), ramp(np.maximum(top, foot), -0.35, 0.35)


def _turning_marks(rng: np.random.Generator, radius: Field, angle: Field) -> tuple[Field, Field]:
    """(rings, arcs) of about unit variance: the tool's grooves, and how they come and go along the turn."""
    steps = 4096
    fine = np.repeat(rng.standard_normal(steps // 8), 8)
    profile = (fine + 0.6 * np.repeat(rng.standard_normal(steps // 32), 32)).astype(np.float32)
    kernel = np.hanning(13)
    profile = np.convolve(profile, kernel / kernel.sum(), mode="same").astype(np.float32)
    index = np.clip(radius * np.float32(steps / 200), 0, steps - 1).astype(np.int32)
    table = cloud(rng, (400, 512), 200, 9).copy()
    # The table's ends meet where the angle wraps, or a seam would run across the part.
    blend = np.linspace(0, 1, 64, dtype=np.float32)
    table[:, -64:] = table[:, -64:] * (1 - blend) + table[:, :1] * blend
    turn = ((angle + np.float32(rng.uniform(0, 2 * np.pi))) * np.float32(512 / (2 * np.pi))).astype(np.int32) % 512
    arcs = table[np.minimum((radius * 2).astype(np.int32), 399), turn]
    return profile[index], arcs


def _bevels(base: Field, top: Field, radius: Field, facing: Field, pose: Pose, marks: Field) -> Field:
    """`base` with the chamfers of the rim and the hole: one flank mirrors the lamp, the other the dark room."""
    outer = ramp(radius, pose.outer - CHAMFER - 0.5, pose.outer - CHAMFER + 0.5)
    inner = ramp(radius, pose.inner + CHAMFER * 0.8 + 0.5, pose.inner + CHAMFER * 0.8 - 0.5)
    inner = inner * ramp(radius, pose.inner - 2, pose.inner - 1)
    for share, tilt in ((outer, facing), (inner, -facing)):
        lit = np.maximum(tilt, 0)
        glint = np.square(lit * lit)
        flank = (0.075 + 0.25 * lit + 1.25 * glint * glint + 0.06 * np.square(tilt)) * (1 + 0.10 * marks)
        base = base + (flank - base) * share
    # Wear polishes every edge a little.
    return np.asarray(base * (1 + 0.22 * ramp(top, 1.1, 0.2)), dtype=np.float32)


def _relief(base: Field, height: Field, light: Field) -> Field:
    """`base` where the surface is not flat: it loses the mirror's shine and shows slopes to and from the lamp."""
    scale = height.shape[0] / UNITS
    down, right = np.gradient(height, 1 / scale)
    slope = -(right * light[0] + down * light[1])
    steep = np.clip(np.hypot(right, down), 0, 1)
    flat = base * (1 - 0.6 * steep) + 0.06 * steep
    return np.asarray(np.maximum(flat + 0.6 * np.clip(slope, -0.2, 1.2), 0.015), dtype=np.float32)
