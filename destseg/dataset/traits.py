"""What a product's photographs ask for: grey defects where they are grey, more pixels where they are large."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from destseg.dataset.images import ImageError, ImageSettings, Source, decode

Sections = dict[str, dict[str, Any]]
LOOKED_AT = 16  # photographs
DETAILED = 512  # pixels of the shorter side; scoring costs four times as much as at 256x256
_SQUARE = 256  # side of the squares learned from, so that training costs what it does at 256x256
_SIDE = 64  # pixels that colour is looked for in
_APART = 4  # grey levels between the channels of a pixel, which lossy compression may make


def suggested(sources: Sequence[Source], given: Mapping[str, Any]) -> Sections:
    """Settings beside `given`, the sections of params.yaml; what these set otherwise than the defaults is a person's.

    Up to LOOKED_AT photographs, evenly spread, are looked at; what cannot be decoded is passed over.
    """
    image, synthesis = (given.get(section) or {} for section in ("image", "synthesis"))
    spread = np.unique(np.linspace(0, len(sources) - 1, min(LOOKED_AT, len(sources))).round().astype(int))
    colours, sides = [], []
    for index in spread:
        try:
            picture = decode(sources[index], bit_depth=image.get("bit_depth", ImageSettings.bit_depth))
        except ImageError:
            continue
        sides.append(min(picture.size))
        colours.append(np.ptp(np.asarray(picture.resize((_SIDE, _SIDE))).astype(int), axis=-1).max())
    if not sides:
        return {}
    found: Sections = {}
    usual = image.get("size", ImageSettings.size) == ImageSettings.size and synthesis.get("crop") is None
    if usual and np.median(sides) >= DETAILED:
        found = {"image": {"size": DETAILED}, "synthesis": {"crop": _SQUARE}}
    if not synthesis.get("grey") and max(colours) <= _APART:
        found["synthesis"] = {**found.get("synthesis", {}), "grey": True}
    return found


def named(settings: Sections) -> str:
    """As a sentence names them: image.size 512, synthesis.crop 256."""
    return ", ".join(
        f"{section}.{name} {str(value).lower()}" for section, own in settings.items() for name, value in own.items()
    )
