"""The numbers of metrics.json: image and pixel metrics on raw scores, exact with ties. Needs numpy and scipy only.

docs/metrics.md has the definitions, and the answer for each case that leaves a metric undefined.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from destseg import Error
from destseg.evaluation.pixels import PixelRanking, rank_pixels
from destseg.evaluation.ranking import Floats, Ranking, rank


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Each in [0, 1], NaN where the images do not define it.

    The two F1-max take their thresholds from the test set: they say how good the order is, and no gate reads them.
    """

    image_auroc: float
    pixel_auroc: float
    pixel_ap: float
    iap: float
    iap90: float
    pro: float
    image_f1_max: float
    pixel_f1_max: float

    def to_dict(self) -> dict[str, float | None]:
        """By name, None for NaN, as JSON wants it."""
        return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(self).items()}

    def __str__(self) -> str:
        return ", ".join(
            f"{name} {'null' if math.isnan(value) else f'{value:.4f}'}" for name, value in vars(self).items()
        )


def evaluate_maps(
    image_scores: Floats, maps: Floats, masks: NDArray[np.bool_], defective: NDArray[np.bool_]
) -> Metrics:
    """All metrics of N images: scores [N], maps [N, H, W], truth masks [N, H, W] and whether each has a defect [N].

    >>> maps = np.array([[[0.1, 0.2]], [[0.3, 0.2]]])
    >>> masks = np.array([[[False, False]], [[True, False]]])
    >>> found = evaluate_maps(maps.max(axis=(1, 2)), maps, masks, np.array([False, True]))
    >>> found.image_auroc, found.pixel_ap, found.pro, found.pixel_f1_max
    (1.0, 1.0, 1.0, 1.0)
    """
    check_shapes(image_scores, maps, masks, defective)
    return from_rankings(rank(image_scores[defective], image_scores[~defective]), rank_pixels(maps, masks))


def from_rankings(images: Ranking, pixels: PixelRanking) -> Metrics:
    """All metrics, given the ranking of the images and that of their pixels."""
    return Metrics(
        image_auroc=images.auroc(),
        pixel_auroc=pixels.pixels.auroc(),
        pixel_ap=pixels.pixels.average_precision(),
        iap=pixels.iap(),
        iap90=pixels.iap_at(90),
        pro=pixels.pro(),
        image_f1_max=images.f1_max(),
        pixel_f1_max=pixels.pixels.f1_max(),
    )


def check_shapes(image_scores: Floats, maps: Floats, masks: NDArray[np.bool_], defective: NDArray[np.bool_]) -> None:
    """An Error when the arrays do not belong together or a normal image has a defect in its mask."""
    count = len(maps)
    if maps.ndim != 3 or masks.shape != maps.shape or image_scores.shape != (count,) or defective.shape != (count,):
        raise Error(
            f"metrics got scores {image_scores.shape}, maps {maps.shape}, masks {masks.shape}, defective "
            f"{defective.shape}; expected [N], [N, H, W], [N, H, W], [N]"
        )
    if masks.dtype != np.bool_ or defective.dtype != np.bool_:
        raise Error(f"metrics got masks of {masks.dtype} and defective of {defective.dtype}, expected bool for both")
    if masks[~defective].any():
        raise Error("the mask of a normal image marks defective pixels; expected it empty")
