"""What patterns are made of: noise, cells and hashes on the plane, from coordinates and a salt alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Field = NDArray[np.floating[Any]]  # [H, W]: coordinates (float32) or heights (float32, some families float64)
Hash = NDArray[np.uint32]
Generator = np.random.Generator
# Coordinates in pixels to heights of about 0 to 1; the generator gives what differs from photograph to photograph.
Pattern = Callable[[Field, Field, Generator], Field]
_TURN = 2 * np.pi / 256
_GRADIENTS = np.stack([np.cos(np.arange(256) * _TURN), np.sin(np.arange(256) * _TURN)]).astype(np.float32)


def between(draw: Generator, low: float, high: float) -> float:
    """A number from `low` to `high`, log-uniform: sizes and frequencies."""
    return float(low * (high / low) ** draw.random())


def salted(rng: Generator) -> int:
    """A salt of the noise functions."""
    return int(rng.integers(1 << 30))


def hashed(ix: NDArray[Any], iy: NDArray[Any], salt: int) -> Hash:
    """32 well-mixed bits for each lattice point (multipliers and shifts as in xxHash and lowbias32)."""
    h = ix.astype(np.int32).view(np.uint32) * np.uint32(374761393)
    h += iy.astype(np.int32).view(np.uint32) * np.uint32(668265263)
    h += np.uint32((salt * 2246822519) & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def uniform(h: Hash, part: int = 0) -> Field:
    """Independent numbers in [0, 1) of a hash: parts 0 to 3 are its bytes."""
    return ((h >> np.uint32(8 * part)) & np.uint32(255)).astype(np.float32) * (1 / 256)


def smoothstep(low: float, high: float, value: Field) -> Field:
    """0 below `low`, 1 above `high`, a smooth edge between."""
    t = np.clip((value - low) * (1 / (high - low)), 0, 1)
    risen: Field = t * t * (3 - 2 * t)
    return risen


def perlin(x: Field, y: Field, salt: int) -> Field:
    """Gradient noise (Perlin 2002), about -0.7 to 0.7, one lattice cell per unit."""
    ix, iy = np.floor(x), np.floor(y)
    fx, fy = x - ix, y - iy
    wx, wy = fx * fx * fx * (fx * (fx * 6 - 15) + 10), fy * fy * fy * (fy * (fy * 6 - 15) + 10)

    def corner(dx: int, dy: int) -> Field:
        gradient = _GRADIENTS[:, hashed(ix + dx, iy + dy, salt) & np.uint32(255)]
        slope: Field = gradient[0] * (fx - dx) + gradient[1] * (fy - dy)
        return slope

    low, right, up, far = corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)
    bottom, top = low + wx * (right - low), up + wx * (far - up)
    return bottom + wy * (top - bottom)


def fractal(x: Field, y: Field, salt: int, *, octaves: int = 4, gain: float = 0.5, kind: str = "plain") -> Field:
    """Octaves of Perlin noise, about 0 to 1; `kind` is plain, turbulence (folded) or ridged (folded, turned)."""
    total, weight, amplitude = np.zeros_like(x), 0.0, 1.0
    for octave in range(octaves):
        value = perlin(x * (2**octave), y * (2**octave), salt + 7919 * octave) * 1.4
        if kind != "plain":
            value = np.abs(value) * 2 - 1 if kind == "turbulence" else 1 - 2 * np.abs(value)
        total += value * amplitude
        weight += amplitude
        amplitude *= gain
    height: Field = np.clip(0.5 + total * (0.5 / weight), 0, 1)
    return height


def spectrum(x: Field, y: Field, rng: Generator, weight: Callable[[Field, Field], Field]) -> Field:
    """Gaussian noise with amplitude spectrum `weight(fx, fy)` in cycles per unit of x and y; mean 0, deviation 1."""
    height, width = x.shape
    # The frequencies of the pixel grid, turned and scaled as the coordinates are.
    across, along = float(np.mean(x[:, -1] - x[:, 0])) / (width - 1), float(np.mean(y[:, -1] - y[:, 0])) / (width - 1)
    squared = across * across + along * along
    px, py = fft.rfftfreq(width).astype(np.float32)[None, :], fft.fftfreq(height).astype(np.float32)[:, None]
    fx = (across * px - along * py) / squared
    fy = (along * px + across * py) / squared
    white = fft.rfft2(rng.standard_normal((height, width), dtype=np.float32))
    shaped = white * weight(fx, fy)
    shaped[0, 0] = 0
    noise: Field = fft.irfft2(shaped, s=(height, width)).astype(np.float32)
    return noise / (float(noise.std()) + 1e-6)


def cells(x: Field, y: Field, salt: int, *, jitter: float = 1.0, power: int = 2) -> tuple[Field, Field, Hash]:
    """Voronoi (Worley) cells: distance to the nearest and second point, and the nearest one's hash; power 1, 2 or 9."""
    ix, iy = np.floor(x), np.floor(y)
    first, second = np.full_like(x, 9), np.full_like(x, 9)
    owner = np.zeros(x.shape, np.uint32)
    spread, rest = jitter, (0.5 * (1 - jitter))
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            h = hashed(ix + dx, iy + dy, salt)
            ax = np.abs(ix + (dx + rest) + spread * uniform(h, 0) - x)
            ay = np.abs(iy + (dy + rest) + spread * uniform(h, 1) - y)
            distance = ax * ax + ay * ay if power == 2 else ax + ay if power == 1 else np.maximum(ax, ay)
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            first = np.where(nearer, distance, first)
            owner = np.where(nearer, h, owner)
    if power == 2:
        first, second = np.sqrt(first), np.sqrt(second)
    return first, second, owner


def turned(x: Field, y: Field, angle: float, scale: float = 1.0) -> tuple[Field, Field]:
    """The coordinates rotated by `angle` radians and multiplied by `scale`."""
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    return c * x - s * y, s * x + c * y
