"""The test set of a category with its anomaly scores and maps, and the counts and metrics that follow from them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from destseg.dataset.layout import GOOD, Sample
from destseg.evaluation.metrics import Metrics, check_shapes, from_rankings
from destseg.evaluation.pixels import Part, PixelRanking, rank_parts, sort_pixels
from destseg.evaluation.ranking import Ranking, rank
from destseg.model.calibration import Calibration

SYNTHETIC = "synthetic"  # the split of images whose defects are made


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """N images of the test set, normal and defect images."""

    samples: list[Sample]
    scores: NDArray[np.floating[Any]]
    """Anomaly scores [N]."""
    maps: NDArray[np.floating[Any]]
    """Anomaly maps [N, S, S]."""
    masks: NDArray[np.bool_]
    """The truth [N, S, S]; empty for normal images."""

    @cached_property
    def kinds(self) -> NDArray[np.str_]:
        """[N] `good` or the defect type."""
        return np.array([sample.kind for sample in self.samples], dtype=np.str_)

    @property
    def synthetic(self) -> bool:
        """Whether the defects are made (evaluation/acceptance.py)."""
        return any(sample.split == SYNTHETIC for sample in self.samples)

    @property
    def has_calibration_images(self) -> bool:
        """Whether the normal images are those that the threshold comes from: then none is above it."""
        return any(sample.split == "train" for sample in self.samples)

    @cached_property
    def defective(self) -> NDArray[np.bool_]:
        """[N] whether it is a defect image."""
        return np.asarray(self.kinds != GOOD, dtype=np.bool_)

    @cached_property
    def defect_types(self) -> list[str]:
        """Sorted."""
        return [str(kind) for kind in np.unique(self.kinds[self.defective])]

    @cached_property
    def images(self) -> Ranking:
        """Defect images against normal ones."""
        return rank(self.scores[self.defective], self.scores[~self.defective])

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The sorted pixels of each kind, `good` among them even where there are none."""
        check_shapes(self.scores, self.maps, self.masks, self.defective)
        return {kind: sort_pixels(self.maps, self.masks, self.kinds == kind) for kind in [GOOD, *self.defect_types]}

    @cached_property
    def pixels(self) -> PixelRanking:
        """All pixels of all images."""
        return rank_parts(list(self.parts.values()))

    def metrics(self) -> Metrics:
        """Over all images."""
        return from_rankings(self.images, self.pixels)

    def metrics_of(self, defect_type: str) -> Metrics:
        """Over the normal images and those of one defect type."""
        images = rank(self.scores[self.kinds == defect_type], self.scores[~self.defective])
        return from_rankings(images, rank_parts([self.parts[GOOD], self.parts[defect_type]]))

    def rejected(self, calibration: Calibration) -> NDArray[np.bool_]:
        """[N] whether the score exceeds the threshold."""
        return np.asarray(self.scores > calibration.threshold, dtype=np.bool_)

    def counts(self, calibration: Calibration | None) -> dict[str, int | None]:
        """normal_images, defect_images and, where there is a threshold, false_rejects and escapes (missed defects)."""
        rejected = None if calibration is None else self.rejected(calibration)
        return {
            "normal_images": int((~self.defective).sum()),
            "defect_images": int(self.defective.sum()),
            "false_rejects": None if rejected is None else int((rejected & ~self.defective).sum()),
            "escapes": None if rejected is None else int((~rejected & self.defective).sum()),
        }
