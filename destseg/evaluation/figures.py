"""Heatmaps over photographs, all in the one colour range of the calibration. Needs numpy and Pillow only."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from destseg.model.calibration import Calibration

# (place in the colour range, colour, opacity): nothing at the calm end, orange at the threshold's two thirds.
_STOPS = (
    (0.0, (255, 224, 130), 0.0),
    (1 / 3, (255, 209, 84), 0.35),
    (2 / 3, (245, 124, 20), 0.75),
    (1.0, (184, 0, 46), 0.9),
)
_OUTLINE = (0, 174, 239)  # of the truth: far from every colour above
_TINT = 0.45  # opacity of the truth's area
_GAP = 6  # pixels between the panels of a triptych
Pixels = NDArray[np.uint8]


def overlay(
    image: Pixels,
    map_: NDArray[np.floating[Any]],
    calibration: Calibration | None,
    truth: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """The photograph [H, W, 3] in grey under its anomaly map [H, W], with the outline of the truth [H, W] if given.

    Without a calibration the colours run from 0 to 1, the bounds of every map.
    """
    low, high = (calibration.heat_low, calibration.heat_high) if calibration else (0.0, 1.0)
    place = np.clip((map_.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    at = [stop for stop, _, _ in _STOPS]
    colour = np.stack([np.interp(place, at, [rgb[i] for _, rgb, _ in _STOPS]) for i in range(3)], axis=-1)
    opacity = np.interp(place, at, [alpha for _, _, alpha in _STOPS])[..., None]
    blended = _grey(image) * (1 - opacity) + colour * opacity
    return _outlined(blended, truth)


def triptych(
    image: Pixels, truth: NDArray[np.bool_], map_: NDArray[np.floating[Any]], calibration: Calibration | None
) -> Image.Image:
    """Photograph | truth | heatmap, side by side."""
    panels = [Image.fromarray(image), marked(image, truth), overlay(image, map_, calibration)]
    height, width = truth.shape
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (width + _GAP), 0))
    return sheet


def marked(image: Pixels, truth: NDArray[np.bool_]) -> Image.Image:
    """The photograph in grey with the truth's area tinted; of a normal image the plain grey photograph."""
    tint = truth[..., None] * _TINT
    return _outlined(_grey(image) * (1 - tint) + np.array(_OUTLINE) * tint, truth)


def colour_bar() -> str:
    """The colour range as a CSS gradient, to be laid over grey."""
    stops = (f"rgba({r}, {g}, {b}, {alpha}) {place:.1%}" for place, (r, g, b), alpha in _STOPS)
    return f"linear-gradient(to right, {', '.join(stops)})"


def data_uri(picture: Image.Image) -> str:
    """The picture as a JPEG inside an address, for pages that load nothing."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _grey(image: Pixels) -> NDArray[np.float64]:
    """[H, W, 3]: the photograph's luminance, so that no colour of the part looks like heat."""
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float64)
    return np.repeat(grey[..., None], 3, axis=-1)


def _outlined(picture: NDArray[np.float64], truth: NDArray[np.bool_] | None) -> Image.Image:
    pixels = np.round(picture).astype(np.uint8)
    if truth is not None:
        pixels[ndimage.binary_dilation(truth) & ~truth] = _OUTLINE  # around the region, so that it hides none of it
    return Image.fromarray(pixels)
