"""Photographs of 1 Mpx to measure with: a machined surface with scratches, each of them another, quickly made."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

SIDE = 1024


def photographs(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """JPEG files of SIDE x SIDE grey pixels, some 150 kB each; the same seed gives the same ones."""
    chance = np.random.default_rng(seed)
    rows = np.sin(np.arange(SIDE) / 7)[:, None] * 12 + np.linspace(-20, 20, SIDE)[None, :]
    grain = chance.normal(0, 6, (SIDE, 2 * SIDE))
    for _ in range(count):
        left = int(chance.integers(0, SIDE))
        values = 120 + chance.normal(0, 3) + rows + grain[:, left : left + SIDE]
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        for _ in range(20):
            ends = [int(value) for value in chance.integers(0, SIDE, 4)]
            draw.line(ends, fill=int(chance.integers(60, 200)), width=int(chance.integers(1, 6)))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        yield stream.getvalue()
