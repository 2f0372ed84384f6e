"""Synthetic defects (section 3.1): a Perlin mask, filled with a texture, on a normal image; batched on the device."""

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

FILL = 114  # grey where a rotated image leaves its frame (public code)


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """What a synthetic defect looks like and how normal images are turned."""

    quarter_turns: bool = False
    """Turn normal images by 0, 90, 180 or 270 degrees: for products without an upright (bottle, carpet, screw, ...)."""
    max_degrees: float = 0.0
    """Then by up to this angle either way (the paper: 5 for most, 0 where position matters: capsule, pill, ...)."""
    scale_min: int = 0
    """The lattice of the Perlin noise has 2^scale_min ..."""
    scale_max: int = 5
    """... to 2^scale_max cells along each axis, drawn apart."""
    mask_threshold: float = 0.5
    """Where the noise exceeds this is defect."""
    beta_max: float = 0.8
    """Weight of the normal image inside the defect is drawn from 0 to this (public code; equation 1: 1 - beta)."""

    def __post_init__(self) -> None:
        if not 0 <= self.scale_min <= self.scale_max <= 6:
            raise ValueError(
                f"scale_min {self.scale_min} and scale_max {self.scale_max}: expected 0 <= min <= max <= 6"
            )
        if not 0 <= self.beta_max < 1:
            raise ValueError(f"beta_max is {self.beta_max}, expected 0 up to 1")
        if not 0 <= self.max_degrees <= 180:
            raise ValueError(f"max_degrees is {self.max_degrees}, expected 0 to 180")


class Batch(NamedTuple):
    """Normal and damaged images (both float [B, 3, S, S] in 0..255) and masks (float [B, 1, S, S], 0 and 1)."""

    normal: Tensor
    damaged: Tensor
    mask: Tensor


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator of its own for one purpose, so that drawing more for one never shifts another."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Synthesis:
    """Draws training batches from normal images and textures, both uint8 [N, 3, S, S] on one device."""

    def __init__(
        self, images: Tensor, textures: Tensor, settings: SynthesisSettings, generator: torch.Generator
    ) -> None:
        self.images, self.textures, self.settings, self.generator = images, textures, settings, generator

    def batch(self, size: int) -> Batch:
        """`size` images drawn with replacement, turned, and damaged. All draws come from the CPU generator."""
        device = self.images.device
        chosen = self._below(len(self.images), size).to(device)
        angles = self._angles(size)
        normal = self.images[chosen].float()
        if angles.any():  # asked on the CPU: the device need not be waited for
            normal = turn(normal, angles.to(device))
        texture = self.textures[self._below(len(self.textures), size).to(device)].float()
        mask = perlin_masks(size, normal.shape[-1], self.settings, self.generator, device)
        beta = self._uniform(0, self.settings.beta_max, size).to(device).view(-1, 1, 1, 1)
        damaged = torch.where(mask > 0, (1 - beta) * texture + beta * normal, normal)
        return Batch(normal, damaged, mask)

    def _below(self, limit: int, size: int) -> Tensor:
        return torch.randint(limit, (size,), generator=self.generator)

    def _uniform(self, low: float, high: float, size: int) -> Tensor:
        return torch.rand(size, generator=self.generator) * (high - low) + low

    def _angles(self, size: int) -> Tensor:
        quarters = self._below(4, size) * 90.0
        small = self._uniform(-self.settings.max_degrees, self.settings.max_degrees, size)
        return small + quarters if self.settings.quarter_turns else small


def turn(images: Tensor, degrees: Tensor) -> Tensor:
    """[B, 3, S, S] turned about the centre, bilinear; what comes from outside the frame is FILL."""
    grid = _rotated_grid(degrees, images.shape[-1]).to(images.dtype)
    return F.grid_sample(images - FILL, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + FILL


def perlin_masks(
    count: int, size: int, settings: SynthesisSettings, generator: torch.Generator, device: torch.device
) -> Tensor:
    """[count, 1, size, size] of 0 and 1: gradient noise on lattices drawn per axis, turned by -90 to 90 degrees."""
    scales = torch.randint(settings.scale_min, settings.scale_max + 1, (count, 2), generator=generator)
    cells = (2**scales).to(device)  # [B, 2]: along x, along y
    lattice = 2**settings.scale_max + 1
    angles = torch.rand((count, lattice, lattice), generator=generator) * (2 * math.pi)
    turns = torch.rand(count, generator=generator) * 180 - 90
    grid = _rotated_grid(turns.to(device), size)  # where each pixel lies in the unturned noise, [-1, 1]
    noise = _perlin(grid, cells, angles.to(device))
    inside = (grid.abs() <= 1).all(dim=-1)
    return ((noise > settings.mask_threshold) & inside).float()[:, None]


def _perlin(grid: Tensor, cells: Tensor, angles: Tensor) -> Tensor:
    # grid: [B, S, S, 2] in [-1, 1]; cells: [B, 2]; angles: [B, L, L] -> [B, S, S], within [-1, 1]
    position = (grid.clamp(-1, 1) + 1) / 2 * cells.view(-1, 1, 1, 2)
    corner = torch.minimum(position.floor(), (cells - 1).view(-1, 1, 1, 2)).long()
    offset = position - corner
    flat, lattice = angles.flatten(1), angles.shape[-1]
    dots = []
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        index = (corner[..., 1] + dy) * lattice + corner[..., 0] + dx
        angle = flat.gather(1, index.flatten(1)).view(index.shape)
        dots.append(angle.cos() * (offset[..., 0] - dx) + angle.sin() * (offset[..., 1] - dy))
    fade = offset**3 * (offset * (offset * 6 - 15) + 10)  # Perlin's quintic
    top = torch.lerp(dots[0], dots[1], fade[..., 0])
    bottom = torch.lerp(dots[2], dots[3], fade[..., 0])
    return math.sqrt(2) * torch.lerp(top, bottom, fade[..., 1])


def _rotated_grid(degrees: Tensor, size: int) -> Tensor:
    """Sampling grid [B, size, size, 2] of a turn about the centre, for square images."""
    radians = torch.deg2rad(degrees.float())
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    theta = torch.stack([torch.stack([cos, -sin, zero], dim=1), torch.stack([sin, cos, zero], dim=1)], dim=1)
    return F.affine_grid(theta, [len(degrees), 1, size, size], align_corners=False)
