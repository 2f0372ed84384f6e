"""Whether photographs are grey, though a file may have three channels."""

from collections.abc import Sequence

import numpy as np

from destseg.dataset.images import ImageError, Source, decode

LOOKED_AT = 16  # photographs
_SIDE = 64  # pixels that they are looked at in
_APART = 4  # grey levels between the channels of a pixel, which lossy compression may make


def are_grey(sources: Sequence[Source], *, bit_depth: int = 8) -> bool:
    """Whether up to LOOKED_AT photographs, evenly spread, have no colour; what cannot be decoded is passed over."""
    spread = np.unique(np.linspace(0, len(sources) - 1, min(LOOKED_AT, len(sources))).round().astype(int))
    looked_at = 0
    for index in spread:
        try:
            pixels = np.asarray(decode(sources[index], bit_depth=bit_depth).resize((_SIDE, _SIDE)))
        except ImageError:
            continue
        if np.ptp(pixels.astype(int), axis=-1).max() > _APART:
            return False
        looked_at += 1
    return looked_at > 0
