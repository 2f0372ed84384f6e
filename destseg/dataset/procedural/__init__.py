"""Procedural textures: classes drawn from wide families of patterns, each with any number of photographs of it."""

import numpy as np

from destseg.dataset.procedural.texture import Image, Texture


def render(number: int, index: int, *, size: int, seed: int) -> Image:
    """uint8 RGB [size, size, 3]: photograph `index` of texture `number` of the endless series that `seed` begins.

    The same arguments give the same pixels.
    """
    texture = Texture.draw(np.random.default_rng([seed, number]))
    # From 1, because numpy takes a trailing 0 in a seed for no number at all.
    return texture.photograph(np.random.default_rng([seed, number, index + 1]), size)


__all__ = ["Image", "Texture", "render"]
