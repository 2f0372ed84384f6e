"""Masks of synthetic defects: thresholded gradient noise (Perlin, 2002), batched on the device."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from destseg.model.device import sent


class Noise(NamedTuple):
    """What a batch of masks is made of, drawn on the processor."""

    cells: Tensor
    """[B, 2] cells of the lattice along x and y."""
    angles: Tensor
    """[B, L, L] of the gradients at the lattice's points, in radians."""
    turns: Tensor
    """[B] of the whole, in degrees."""


def draw_noise(count: int, scale_min: int, scale_max: int, generator: torch.Generator) -> Noise:
    """Lattices of 2^scale_min to 2^scale_max cells along each axis, drawn apart; turns of -90 to 90 degrees."""
    scales = torch.randint(scale_min, scale_max + 1, (count, 2), generator=generator)
    lattice = 2**scale_max + 1
    angles = torch.rand((count, lattice, lattice), generator=generator) * (2 * math.pi)
    return Noise((2**scales).float(), angles, torch.rand(count, generator=generator) * 180 - 90)


def perlin_masks(noise: Noise, size: int, threshold: float, device: torch.device) -> Tensor:
    """[B, 1, size, size] of 0 and 1: where the turned noise, which lies within [-1, 1], exceeds the threshold."""
    cells, angles, turns = (sent(values, device) for values in noise)
    radians = torch.deg2rad(turns).view(-1, 1, 1)
    middles = (2 * torch.arange(size, device=device) + 1) / size - 1  # of the pixels, in [-1, 1]
    x, y = middles.view(1, 1, -1), middles.view(1, -1, 1)
    cos, sin = radians.cos(), radians.sin()
    at = [cos * x - sin * y, sin * x + cos * y]  # [B, S, S] each: where a pixel lies in the unturned noise
    values = _perlin([place.clamp(-1, 1).add_(1).mul_(0.5) for place in at], cells, angles)
    inside = torch.maximum(at[0].abs(), at[1].abs()) <= 1
    return ((values > threshold) & inside).float()[:, None]


def _perlin(at: list[Tensor], cells: Tensor, angles: Tensor) -> Tensor:
    # at: x and y, [B, S, S] in [0, 1]; cells: [B, 2]; angles: [B, L, L] -> [B, S, S]
    corners, offsets = [], []
    for axis, place in enumerate(at):
        along = cells[:, axis].view(-1, 1, 1)
        position = place * along
        corner = torch.minimum(position.floor(), along - 1)
        corners.append(corner)
        offsets.append(position.sub_(corner))
    # One look-up a pixel: the gradients at the four corners of each cell, as one row.
    gradients = torch.stack([angles.cos(), angles.sin()], dim=-1)  # [B, L, L, 2]
    side = angles.shape[-1] - 1
    around = [gradients[:, dy : dy + side, dx : dx + side] for dy in (0, 1) for dx in (0, 1)]
    table = torch.cat(around, dim=-1).view(-1, 8)
    first = torch.arange(len(angles), device=angles.device).view(-1, 1, 1) * side**2
    row = (corners[1] * side + corners[0]).to(torch.int32) + first.to(torch.int32)
    found = F.embedding(row, table)  # [B, S, S, 8]
    (u, v), (fade_x, fade_y) = offsets, (_fade(offset) for offset in offsets)
    dots = [
        found[..., 2 * (2 * dy + dx)] * (u - dx) + found[..., 2 * (2 * dy + dx) + 1] * (v - dy)
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    top, bottom = torch.lerp(dots[0], dots[1], fade_x), torch.lerp(dots[2], dots[3], fade_x)
    return torch.lerp(top, bottom, fade_y).mul_(math.sqrt(2))


def _fade(offset: Tensor) -> Tensor:
    return offset**3 * (offset * (offset * 6 - 15) + 10)  # Perlin's quintic
