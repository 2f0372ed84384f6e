"""Synthetic defects (section 3.1): a Perlin mask, filled with a texture, on a normal image; batched on the device."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

FILL = 114  # grey where a rotated image leaves its frame (public code)
OWN_GAIN = (0.3, 2.0)  # our choice: brightness of a patch of the product's own surface, a hole up to a highlight
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow converts to grey
_FLIPS: dict[str, tuple[int, ...]] = {"none": (), "horizontal": (3,), "vertical": (2,), "both": (3, 2)}


@dataclass(frozen=True, kw_only=True)
class SynthesisSettings:
    """What a synthetic defect looks like and how normal images are turned; the defaults are the paper's."""

    crop: int | None = None
    """Side in pixels of the squares that are cut out of the normal images anew each time; null: whole images. For small
    defects on large images: training costs what the crop costs, and whole images are scored."""
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirror images that a good part could give as well: horizontal changes left and right, vertical up and down."""
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
    grey: bool = False
    """Take the textures in grey: on a product photographed in grey, colour alone would give the defect away."""
    own_share: float = 0.0
    """Share of the images whose defects are filled with another place of a normal image, turned, darkened or lit,
    instead of a texture (after CutPaste, CVPR 2021): flaws in the surface rather than foreign matter."""

    def __post_init__(self) -> None:
        if self.crop is not None and (self.crop < 64 or self.crop % 32):
            raise ValueError(f"crop is {self.crop}, expected null or a multiple of 32 from 64 up")
        if not 0 <= self.own_share <= 1:
            raise ValueError(f"own_share is {self.own_share}, expected 0 to 1")
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
    """Draws training batches from normal images uint8 [N, 3, L, L] and textures uint8 [M, 3, S, S] on one device.

    S is the crop's side, or L without a crop.
    """

    def __init__(
        self, images: Tensor, textures: Tensor, settings: SynthesisSettings, generator: torch.Generator
    ) -> None:
        self.images, self.settings, self.generator = images, settings, generator
        self.textures = _in_grey(textures) if settings.grey else textures

    def batch(self, size: int) -> Batch:
        """`size` images drawn with replacement, turned, and damaged. All draws come from the CPU generator."""
        device = self.images.device
        normal = self._normal(size)
        filling = self._filling(size)
        mask = perlin_masks(size, normal.shape[-1], self.settings, self.generator, device)
        beta = self._each(self._uniform(0, self.settings.beta_max, size))
        damaged = torch.where(mask > 0, (1 - beta) * filling + beta * normal, normal)
        return Batch(normal, damaged, mask)

    def _normal(self, size: int) -> Tensor:
        """Crops of normal images, flipped and turned: float [size, 3, S, S]."""
        normal = self._crops(size)
        for axis in _FLIPS[self.settings.flips]:
            normal = torch.where(self._each(self._below(2, size) > 0), normal.flip(axis), normal)
        angles = self._angles(size)
        # Asked on the CPU: the device need not be waited for.
        return turn(normal, angles.to(self.images.device)) if angles.any() else normal

    def _filling(self, size: int) -> Tensor:
        """What the defects are filled with: textures, or the product's own surface; float [size, 3, S, S]."""
        textures = self.textures[self._below(len(self.textures), size).to(self.images.device)].float()
        if not self.settings.own_share:
            return textures
        quarters = self._below(4, size) * 90.0
        gain = torch.exp(self._uniform(math.log(OWN_GAIN[0]), math.log(OWN_GAIN[1]), size))
        own = turn(self._crops(size), quarters.to(self.images.device)) * self._each(gain)
        return torch.where(self._each(self._uniform(0, 1, size) < self.settings.own_share), own.clamp(0, 255), textures)

    def _crops(self, size: int) -> Tensor:
        chosen, whole = self._below(len(self.images), size), self.images.shape[-1]
        side = self.settings.crop or whole
        if side == whole:
            return self.images[chosen.to(self.images.device)].float()
        tops, lefts = (self._below(whole - side + 1, size).tolist() for _ in range(2))
        places = zip(chosen.tolist(), tops, lefts, strict=True)
        cut = [self.images[i, :, top : top + side, left : left + side] for i, top, left in places]
        return torch.stack(cut).float()

    def _each(self, values: Tensor) -> Tensor:
        """One value for each image of the batch, [B] to [B, 1, 1, 1] on the device."""
        return values.to(self.images.device).view(-1, 1, 1, 1)

    def _below(self, limit: int, size: int) -> Tensor:
        return torch.randint(limit, (size,), generator=self.generator)

    def _uniform(self, low: float, high: float, size: int) -> Tensor:
        return torch.rand(size, generator=self.generator) * (high - low) + low

    def _angles(self, size: int) -> Tensor:
        quarters = self._below(4, size) * 90.0
        small = self._uniform(-self.settings.max_degrees, self.settings.max_degrees, size)
        return small + quarters if self.settings.quarter_turns else small


def _in_grey(images: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] with three equal channels."""
    weights = torch.tensor(_LUMINANCE, device=images.device).view(3, 1, 1)
    grey = [(image * weights).sum(dim=0, keepdim=True).round().to(torch.uint8).expand_as(image) for image in images]
    return torch.stack(grey)


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
