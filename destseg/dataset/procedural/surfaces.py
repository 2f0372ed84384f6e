"""Families of rough surfaces and flowing matter. Each function draws one pattern of its family."""

import numpy as np

from destseg.dataset.procedural.noise import (
    Field,
    Generator,
    Pattern,
    between,
    fractal,
    hashed,
    perlin,
    salted,
    smoothstep,
    spectrum,
    uniform,
)


def power_noise(draw: Generator) -> Pattern:
    """Noise with amplitude 1/f^a: cast, sand, clouds."""
    slope, stretch = draw.uniform(0.2, 2.2), between(draw, 1, 6) if draw.random() < 0.5 else 1.0

    def weight(fx: Field, fy: Field) -> Field:
        return 1 / (fx * fx + (fy * stretch) ** 2 + 1e-4) ** (slope / 2)

    return lambda x, y, rng: 0.5 + 0.2 * spectrum(x, y, rng, weight)


def band_noise(draw: Generator) -> Pattern:
    """Noise of one scale, all around or along one direction, soft or cut to two levels: labyrinths, ripples."""
    frequency, width = 1 / between(draw, 3, 24), draw.uniform(0.1, 0.5)
    oriented, edge = draw.random() < 0.5, between(draw, 0.05, 2) if draw.random() < 0.6 else 0.0
    spread, level = draw.uniform(0.15, 0.6), draw.uniform(-0.6, 0.6)

    def weight(fx: Field, fy: Field) -> Field:
        radius = np.sqrt(fx * fx + fy * fy) + 1e-6
        band: Field = np.exp(-(np.log(radius / frequency) ** 2) / (2 * width * width))
        if oriented:
            band = band * np.exp(-((fy / radius) ** 2) / (2 * spread * spread))
        return band

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        noise = spectrum(x, y, rng, weight)
        return smoothstep(level - edge, level + edge, noise) if edge else 0.5 + 0.2 * noise

    return pattern


def brushed(draw: Generator) -> Pattern:
    """Machined surfaces: straight, crossed or turned tool marks."""
    length, fine, slope = between(draw, 20, 300), draw.uniform(0.5, 1.5), draw.uniform(0.0, 1.0)
    kind, radius = draw.choice(["straight", "crossed", "turned"], p=[0.5, 0.25, 0.25]), between(draw, 60, 400)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        if kind == "turned":
            dx, dy = x + radius, y - 40
            x, y = np.arctan2(dy, dx) * radius, np.sqrt(dx * dx + dy * dy)
        along, across = 1 / length, fine

        def marks(u: Field, v: Field) -> Field:
            coarse = perlin(u * along / 3, v * across / 4, salted(rng))
            return 0.8 * (perlin(u * along, v * across, salted(rng)) + slope * coarse)

        total = marks(x, y)
        if kind == "crossed":
            total = np.maximum(total, marks(y, x))
        return 0.5 + total

    return pattern


def clouds(draw: Generator) -> Pattern:
    """Fractal Perlin noise, plain, folded or ridged."""
    step, octaves, gain = 1 / between(draw, 6, 60), int(draw.integers(2, 6)), draw.uniform(0.35, 0.75)
    kind, stretch = str(draw.choice(["plain", "turbulence", "ridged"])), between(draw, 1, 8)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        u, v = x * step, y * (step * stretch)
        return fractal(u, v, salted(rng), octaves=octaves, gain=gain, kind=kind)

    return pattern


def veins(draw: Generator) -> Pattern:
    """Marble and wood: a wave or rings whose phase is pushed by fractal noise."""
    period, push, step = between(draw, 6, 40), draw.uniform(0.3, 3), 1 / between(draw, 16, 80)
    rings, saw, sharp = draw.random() < 0.5, draw.random() < 0.4, between(draw, 0.5, 4)
    stretch = between(draw, 1, 8)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        noise = fractal(x * step, y * (step / stretch), salted(rng), octaves=4)
        distance = np.sqrt((x - 30) ** 2 + (y / stretch) ** 2) if rings else x
        phase = distance / period + push * noise
        wave = phase - np.floor(phase) if saw else 0.5 + 0.5 * np.sin(phase * (2 * np.pi))
        return wave**sharp

    return pattern


def cracks(draw: Generator) -> Pattern:
    """Thin dark lines that wander over a calm ground, whole or broken: crazing, hairs, worm holes."""
    step, thin, octaves = 1 / between(draw, 12, 60), between(draw, 0.01, 0.06), int(draw.integers(1, 4))
    sparse, rough, deep = draw.uniform(0.0, 0.6), draw.uniform(0.05, 0.3), draw.uniform(0.4, 0.8)

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        u, v = x * step, y * step
        line = np.abs(fractal(u, v, salted(rng), octaves=octaves) - 0.5)
        present = fractal(u / 2, v / 2, salted(rng), octaves=2) > 0.4 * sparse + 0.2
        ground = 0.75 + rough * perlin(u * 9, v * 9, salted(rng))
        height: Field = ground - deep * present * (1 - smoothstep(thin / 3, thin, line))
        return height

    return pattern


def milled(draw: Generator) -> Pattern:
    """Rows of arcs that a turning cutter leaves, each row over the one before."""
    radius, feed, row = between(draw, 20, 120), between(draw, 2, 10), between(draw, 12, 60)
    sharp, wear, both = between(draw, 0.5, 4), draw.uniform(0, 0.5), draw.random() < 0.3

    def pattern(x: Field, y: Field, rng: Generator) -> Field:
        v = y / row
        across = (v - np.floor(v) - 0.5) * row
        bow = np.sqrt(np.maximum(radius * radius - across * across, 1.0))
        phase = (x + bow) / feed + uniform(hashed(np.zeros_like(v), np.floor(v), salted(rng)), 1)
        height = (0.5 + 0.5 * np.sin(phase * (2 * np.pi))) ** sharp
        if both:
            height = np.maximum(height, (0.5 + 0.5 * np.sin(((x - bow) / feed) * (2 * np.pi))) ** sharp)
        worn: Field = height * (1 - wear * fractal(x / 30, y / 30, salted(rng), octaves=3))
        return worn

    return pattern


def fractals(draw: Generator) -> Pattern:
    """Julia sets, mirrored into a tiling: detail at all sizes, with curls and branches."""
    size, iterations = between(draw, 24, 120), int(draw.integers(6, 24))
    angle, push = draw.uniform(0, 2 * np.pi), draw.uniform(0.95, 1.15)
    # Just around the main cardioid of the Mandelbrot set, where the sets are most branched.
    c = push * (0.5 * np.exp(1j * angle) - 0.25 * np.exp(2j * angle))

    def pattern(x: Field, y: Field, _rng: Generator) -> Field:
        u, v = x / size, y / size
        real = np.abs(u - 2 * np.floor(u / 2) - 1) * 3 - 1.5
        imaginary = np.abs(v - 2 * np.floor(v / 2) - 1) * 3 - 1.5
        count = np.zeros_like(x)
        for _ in range(iterations):
            real, imaginary = (
                np.clip(real * real - imaginary * imaginary + np.float32(c.real), -4, 4),
                np.clip(2 * real * imaginary + np.float32(c.imag), -4, 4),
            )
            count += np.exp(-(real * real + imaginary * imaginary))
        height: Field = count / max(float(count.max()), 1e-3)
        return height

    return pattern
