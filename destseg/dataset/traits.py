"""What a product's photographs themselves say of its settings: whether they are grey, and how much detail they have."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from destseg.dataset.images import ImageError, Source, decode

LOOKED_AT = 16  # photographs
DETAILED = 512  # pixels of the shorter side, from which on more than the usual 256x256 is worth its time
_SQUARE = 256  # that is then learned from at a time, so that training takes no longer
_SIDE = 64  # pixels that colour is looked for in
_APART = 4  # grey levels between the channels of a pixel, which lossy compression may make


def suggested(sources: Sequence[Source], *, bit_depth: int = 8) -> dict[str, dict[str, Any]]:
    """The settings that these photographs ask for, where those of the preset `compact` are used.

    Up to LOOKED_AT of them, evenly spread, are looked at; what cannot be decoded is passed over.
    """
    spread = np.unique(np.linspace(0, len(sources) - 1, min(LOOKED_AT, len(sources))).round().astype(int))
    colours, sides = [], []
    for index in spread:
        try:
            picture = decode(sources[index], bit_depth=bit_depth)
        except ImageError:
            continue
        sides.append(min(picture.size))
        colours.append(np.ptp(np.asarray(picture.resize((_SIDE, _SIDE))).astype(int), axis=-1).max())
    found: dict[str, dict[str, Any]] = {}
    if sides and np.median(sides) >= DETAILED:
        found = {"image": {"size": DETAILED}, "synthesis": {"crop": _SQUARE}}
    if colours and max(colours) <= _APART:
        found["synthesis"] = {**found.get("synthesis", {}), "grey": True}
    return found
