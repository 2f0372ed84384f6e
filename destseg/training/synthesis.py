"""Synthetic defects (section 3.1): a Perlin mask, filled with a texture, on a normal image; batched on the device."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from destseg.ahead import ahead
from destseg.dataset.store import mapped
from destseg.model.device import sent
from destseg.training.part import SCALE, parts
from destseg.training.perlin import Noise, draw_noise, perlin_masks

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
    part_share: float = 0.0
    """Share of the images whose defects are on the part alone, where the pictures have a background that it can be told
    from (training/part.py); the others have them anywhere."""

    def __post_init__(self) -> None:
        if self.crop is not None and (self.crop < 64 or self.crop % 32):
            raise ValueError(f"crop is {self.crop}, expected null or a multiple of 32 from 64 up")
        if not 0 <= self.own_share <= 1:
            raise ValueError(f"own_share is {self.own_share}, expected 0 to 1")
        if not 0 <= self.part_share <= 1:
            raise ValueError(f"part_share is {self.part_share}, expected 0 to 1")
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


class Own(NamedTuple):
    """Patches of the product's own surface, to fill defects with."""

    crops: Tensor
    """uint8 [B, 3, S, S]."""
    degrees: Tensor
    gain: Tensor
    """[B] factor of the brightness."""
    chosen: Tensor
    """[B] whether they are taken instead of the texture."""


class Draws(NamedTuple):
    """All that chance decides of one batch; every value but the images is drawn, and lies, on the processor."""

    normal: Tensor
    """uint8 [B, 3, S, S]."""
    part: Tensor | None
    """float [B, 1, S, S], 0 and 1: where defects may be; None: anywhere."""
    flips: Tensor
    """bool [F, B], a row for each axis that may be flipped."""
    degrees: Tensor
    """[B] by which the normal images are turned."""
    texture: Tensor
    """uint8 [B, 3, S, S]."""
    own: Own | None
    noise: Noise
    beta: Tensor
    """[B] weight of the normal image inside the defect."""
    generator: Tensor
    """State of the generator afterwards: what a training that goes on with the next batch starts from."""


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator of its own for one purpose, so that drawing more for one never shifts another."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Synthesis:
    """Draws training batches from normal images uint8 [N, 3, L, L] and textures uint8 [M, 3, S, S].

    S is the crop's side, or L without a crop. Batches are made on `device`, the images' own unless given. `share` is
    (index, count) of the process that renders its part of every batch; all processes draw the same.
    """

    def __init__(
        self,
        images: Tensor,
        textures: Tensor,
        settings: SynthesisSettings,
        generator: torch.Generator,
        *,
        device: torch.device | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.images, self.textures, self.settings, self.generator = images, textures, settings, generator
        self.device, self.share = device or images.device, share
        self.parts = parts(images) if settings.part_share else None

    @property
    def side(self) -> int:
        """Of the images that are learned from, in pixels."""
        return self.settings.crop or self.images.shape[-1]

    def batches(self, size: int, count: int) -> Iterator[tuple[Batch, Tensor]]:
        """`count` batches of `size` images, or this process's share, and the generator's state after each."""
        draws: Iterator[Draws] = (self.draw(size) for _ in range(count))
        if mapped(self.images) or mapped(self.textures):
            draws = ahead(draws)
        for drawn in draws:
            yield self.render(drawn), drawn.generator

    def batch(self, size: int) -> Batch:
        """`size` images, or this process's share of them, drawn with replacement, turned, and damaged."""
        return self.render(self.draw(size))

    def draw(self, size: int) -> Draws:
        """All draws of one batch of all processes; the images of this one's share are picked."""
        settings = self.settings
        normal, part = self._crops(size)
        flips = [self._below(2, size) > 0 for _ in _FLIPS[settings.flips]]
        degrees = self._angles(size)
        texture = self._picked(self.textures, self._below(len(self.textures), size))
        own = self._own(size) if settings.own_share else None
        noise = draw_noise(size, settings.scale_min, settings.scale_max, self.generator)
        beta = self._mine(self._uniform(0, settings.beta_max, size))
        return Draws(
            normal=normal,
            part=part,
            flips=torch.stack([self._mine(flip) for flip in flips]) if flips else torch.empty(0, len(beta)).bool(),
            degrees=self._mine(degrees),
            texture=texture,
            own=own,
            noise=Noise(*map(self._mine, noise)),
            beta=beta,
            generator=self.generator.get_state(),
        )

    def render(self, draws: Draws) -> Batch:
        """The batch that was drawn, on the device; a GPU is not waited for."""
        normal = self._placed(draws.normal, draws)
        mask = perlin_masks(draws.noise, normal.shape[-1], self.settings.mask_threshold, self.device)
        if draws.part is not None:
            mask = mask * (self._placed(draws.part, draws, fill=0) > 0.5)
        damaged = torch.lerp(normal, self._filling(draws), (1 - self._each(draws.beta)) * mask)
        return Batch(normal, damaged, mask)

    def _filling(self, draws: Draws) -> Tensor:
        """What the defects are filled with: textures, or the product's own surface; float [B, 3, S, S]."""
        texture = sent(draws.texture, self.device).float()
        if self.settings.grey:
            weights = zip(texture.split(1, dim=1), _LUMINANCE, strict=True)
            texture = sum(weight * plane for plane, weight in weights).round().expand_as(texture)
        if draws.own is None:
            return texture
        own = self._turned(sent(draws.own.crops, self.device).float(), draws.own.degrees)
        own = (own * self._each(draws.own.gain)).clamp(0, 255)
        return torch.where(self._each(draws.own.chosen), own, texture)

    def _placed(self, pictures: Tensor, draws: Draws, fill: float = FILL) -> Tensor:
        """Flipped and turned as drawn, on the device."""
        placed = sent(pictures, self.device).float()
        for axis, flip in zip(_FLIPS[self.settings.flips], draws.flips, strict=True):
            placed = torch.where(self._each(flip), placed.flip(axis), placed)
        return self._turned(placed, draws.degrees, fill)

    def _turned(self, images: Tensor, degrees: Tensor, fill: float = FILL) -> Tensor:
        # Asked of the draws, which lie on the processor: the device need not be waited for.
        return turn(images, sent(degrees, self.device), fill) if degrees.any() else images

    def _own(self, size: int) -> Own:
        degrees = self._below(4, size) * 90.0
        gain = torch.exp(self._uniform(math.log(OWN_GAIN[0]), math.log(OWN_GAIN[1]), size))
        crops, _ = self._crops(size)
        chosen = self._uniform(0, 1, size) < self.settings.own_share
        return Own(crops, self._mine(degrees), self._mine(gain), self._mine(chosen))

    def _crops(self, size: int) -> tuple[Tensor, Tensor | None]:
        """Normal images, or squares of them, and where defects may be."""
        chosen, whole = self._below(len(self.images), size), self.images.shape[-1]
        part = anywhere = None
        if self.parts is not None:
            anywhere = self._mine(self._uniform(0, 1, size) >= self.settings.part_share)
            part = F.interpolate(self._picked(self.parts, chosen).float(), (whole, whole))
            part[sent(anywhere, part.device)] = 1
        side = self.settings.crop or whole
        if side == whole:
            return self._picked(self.images, chosen), part
        corners = self._corners(chosen, side, anywhere)
        squares = [(..., slice(top, top + side), slice(left, left + side)) for top, left in corners]
        mine = self._mine(chosen).tolist()
        images = torch.stack([self.images[i][square] for i, square in zip(mine, squares, strict=True)])
        if part is not None:
            part = torch.stack([one[square] for one, square in zip(part, squares, strict=True)])
        return images, part

    def _corners(self, chosen: Tensor, side: int, anywhere: Tensor | None) -> list[tuple[int, int]]:
        """Top and left of this process's squares: anywhere in the picture, or around any place of its part."""
        size, most = len(chosen), self.images.shape[-1] - side
        tops, lefts = (self._mine(self._below(most + 1, size)).tolist() for _ in range(2))
        corners: list[tuple[int, int]] = list(zip(tops, lefts, strict=True))
        if self.parts is None or anywhere is None:
            return corners
        drawn = self._mine(self._uniform(0, 1, size)).tolist()
        for row, (image, at) in enumerate(zip(self._mine(chosen).tolist(), drawn, strict=True)):
            places = self.parts[image, 0].nonzero()
            if len(places) and not anywhere[row]:
                centre = places[int(at * len(places))] * SCALE
                top, left = (centre - side // 2).clamp(0, most).tolist()
                corners[row] = top, left
        return corners

    def _picked(self, pictures: Tensor, chosen: Tensor) -> Tensor:
        return pictures[sent(self._mine(chosen), pictures.device)]

    def _mine(self, values: Tensor) -> Tensor:
        """This process's share of one value for each image of the whole batch."""
        index, count = self.share
        return values.tensor_split(count)[index]

    def _each(self, values: Tensor) -> Tensor:
        """One value for each image of the batch, [B] to [B, 1, 1, 1] on the device."""
        return sent(values, self.device).view(-1, 1, 1, 1)

    def _below(self, limit: int, size: int) -> Tensor:
        return torch.randint(limit, (size,), generator=self.generator)

    def _uniform(self, low: float, high: float, size: int) -> Tensor:
        return torch.rand(size, generator=self.generator) * (high - low) + low

    def _angles(self, size: int) -> Tensor:
        quarters = self._below(4, size) * 90.0
        small = self._uniform(-self.settings.max_degrees, self.settings.max_degrees, size)
        return small + quarters if self.settings.quarter_turns else small


def turn(images: Tensor, degrees: Tensor, fill: float = FILL) -> Tensor:
    """[B, C, S, S] turned about the centre, bilinear; what comes from outside the frame is `fill`."""
    radians = torch.deg2rad(degrees.float())
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    theta = torch.stack([torch.stack([cos, -sin, zero], dim=1), torch.stack([sin, cos, zero], dim=1)], dim=1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill
