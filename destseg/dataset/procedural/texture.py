"""A texture: one or two patterns, warped, joined, coloured and lit. Its photographs differ as real ones of it would."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from destseg.dataset.procedural.lattices import bricks, glyphs, mesh, plaid, stripes, weave
from destseg.dataset.procedural.noise import Field, Generator, Pattern, between, fractal, perlin, salted, turned
from destseg.dataset.procedural.shapes import contours, dots, leaves, scratches, voronoi
from destseg.dataset.procedural.surfaces import (
    band_noise,
    brushed,
    clouds,
    cracks,
    fractals,
    milled,
    power_noise,
    veins,
)

Image = NDArray[np.uint8]
# A family that varies more stands here twice and is drawn twice as often.
FAMILIES: tuple[Callable[[Generator], Pattern], ...] = (
    *(power_noise, band_noise, band_noise, brushed, clouds, veins),
    *(cracks, milled, fractals),
    *(voronoi, voronoi, dots, dots, leaves, leaves, scratches, contours),
    *(stripes, plaid, weave, bricks, mesh, glyphs),
)


@dataclass(frozen=True, kw_only=True)
class Texture:
    """What all photographs of one texture share."""

    base: Pattern
    """The pattern of the first layer."""
    over: Pattern | None
    """The pattern of the second layer, if there is one."""
    joined: str
    """How the two become one: mix, product, most, least, mask or push (the second shifts the first)."""
    angles: tuple[float, float]
    """Radians by which each layer is turned."""
    warp: tuple[float, float]
    """Reach in pixels and wavelength in pixels of a smooth displacement; reach 0 for none."""
    colours: NDArray[np.float32]
    """[stops, 3] in 0..1: the colour of heights from 0 to 1."""
    tint: float
    """Strength of slow changes of colour."""
    relief: float
    """Strength of the light that falls from one side on the heights."""
    gloss: float
    """Strength of the highlights on slopes that face the light, 0 for a matt surface."""
    blur: float
    """Gaussian deviation in pixels: softness of the surface."""
    grain: float
    """Deviation of fine noise in the colours, 0..1."""

    @classmethod
    def draw(cls, draw: Generator) -> "Texture":
        """One texture out of the whole family."""
        families = draw.integers(len(FAMILIES), size=2)
        two = draw.random() < 0.5
        return cls(
            base=FAMILIES[families[0]](draw),
            over=FAMILIES[families[1]](draw) if two else None,
            joined=str(draw.choice(["mix", "product", "most", "least", "mask", "push"])),
            angles=(float(draw.uniform(0, np.pi)), float(draw.uniform(0, np.pi))),
            warp=(between(draw, 1, 8) if draw.random() < 0.4 else 0.0, between(draw, 10, 60)),
            colours=_colours(draw),
            tint=float(draw.uniform(0.05, 0.3)) if draw.random() < 0.25 else 0.0,
            relief=between(draw, 0.2, 1.5) if draw.random() < 0.5 else 0.0,
            gloss=between(draw, 0.1, 0.8) if draw.random() < 0.2 else 0.0,
            blur=between(draw, 0.4, 1.6) if draw.random() < 0.35 else 0.0,
            grain=between(draw, 0.01, 0.12) if draw.random() < 0.4 else 0.0,
        )

    def photograph(self, rng: Generator, size: int) -> Image:
        """uint8 [size, size, 3]: another place of the texture, a little turned, scaled and differently lit."""
        y, x = np.mgrid[0:size, 0:size].astype(np.float32) - size / 2
        lit_x, lit_y = x / size, y / size
        x, y = turned(x, y, rng.normal(0, 0.12), math.exp(rng.normal(0, 0.12)))
        x, y = x + rng.uniform(-500, 500), y + rng.uniform(-500, 500)
        height = np.clip(self._height(x, y, rng), 0, 1)
        if self.blur:
            height = ndimage.gaussian_filter(height, self.blur)
        image = _coloured(height, self.colours)
        if self.tint:
            slow = fractal(x / 40, y / 40, salted(rng), octaves=2) - 0.5
            image = image + (2 * self.tint) * slow * self.colours[0][::-1, None, None]
        light = 1 + rng.normal(0, 0.15) * lit_x + rng.normal(0, 0.15) * lit_y
        if self.relief or self.gloss:
            down, across = np.gradient(height)
            side = rng.normal(0.64, 0.3)  # where the lamp stands, in radians
            slope = math.cos(side) * across + math.sin(side) * down
            light = light + self.relief * slope
            highlight = self.gloss * np.exp(-(((slope - 0.08) / 0.05) ** 2))
            image = image + highlight
        image = image * light
        if self.grain:
            image = image + self.grain * rng.standard_normal(height.shape, dtype=np.float32)
        return _camera(image, rng)

    def _height(self, x: Field, y: Field, rng: Generator) -> Field:
        reach, wavelength = self.warp
        if reach:
            u, v = x / wavelength, y / wavelength
            push_x, push_y = perlin(u, v, salted(rng)), perlin(u, v, salted(rng))
            x, y = x + (2 * reach) * push_x, y + (2 * reach) * push_y
        first = turned(x, y, self.angles[0])
        if self.over is None:
            return self.base(*first, rng)
        second = self.over(*turned(x, y, self.angles[1]), rng)
        if self.joined == "push":
            return self.base(first[0] + 6 * second, first[1], rng)
        return _JOINS[self.joined](self.base(*first, rng), second)


def _mask(a: Field, b: Field) -> Field:
    """The first in the lower half of the heights where the second is low, in the upper half where it is high."""
    return np.where(b > 0.5, 0.5 + a / 2, 0.5 - a / 2)


_JOINS: dict[str, Callable[[Field, Field], Field]] = {
    "mix": lambda a, b: 0.65 * a + 0.35 * b,
    "product": lambda a, b: a * (0.3 + 0.7 * b),
    "most": lambda a, b: np.maximum(a, 0.9 * b),
    "least": lambda a, b: np.minimum(a, b + 0.1),
    "mask": _mask,
}


def _colours(draw: Generator) -> NDArray[np.float32]:
    """Two to five stops from grey, one hue or several; from faint to full contrast."""
    stops = int(draw.integers(2, 6))
    values = draw.random((stops, 3))
    kind = draw.random()
    if kind < 0.4:  # grey, as most cameras on a line
        values = np.repeat(values[:, :1], 3, axis=1)
    elif kind < 0.7:  # shades of one hue
        values = values[:, :1] * draw.uniform(0.4, 1, 3)
    if draw.random() < 0.5:
        values = values[np.argsort(values.sum(axis=1))]
    values = (values - values.min()) / max(float(np.ptp(values)), 1e-3)
    contrast = between(draw, 0.2, 1)
    colours: NDArray[np.float32] = (draw.uniform(0, 1 - contrast) + contrast * values).astype(np.float32)
    return colours


def _coloured(height: Field, colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """[3, H, W]: `height` in 0..1 looked up between the stops."""
    table = np.stack([np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(colours)), c) for c in colours.T])
    found: NDArray[np.float32] = table.astype(np.float32)[:, (height * 255).astype(np.uint8)]
    return found


def _camera(image: NDArray[np.float32], rng: Generator) -> Image:
    """Exposure, contrast, white balance, focus and sensor noise of one shot; [3, H, W] in 0..1 to uint8 [H, W, 3]."""
    middle = image.mean(axis=(1, 2), keepdims=True)
    image = (image - middle) * math.exp(rng.normal(0, 0.15)) + middle * math.exp(rng.normal(0, 0.1))
    image = image * np.exp(rng.normal(0, 0.05, (3, 1, 1))).astype(np.float32)
    focus, noise = max(0.0, rng.normal(0.1, 0.3)), abs(rng.normal(0, 0.015))
    if focus > 0.25:
        image = ndimage.gaussian_filter(image, (0, focus, focus))
    image = image + noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
