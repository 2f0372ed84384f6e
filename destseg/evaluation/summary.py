"""One model's results on the test set, small enough to keep: what a later comparison with another model needs."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from destseg import Error, files
from destseg.dataset.layout import GOOD
from destseg.evaluation.ranking import Floats, Ranking
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

BINS = 2048  # of pixel scores; of 300 images they take 5 MB in memory
_STRINGS = ("names", "sha256s", "mask_sha256s", "kinds")
_ARRAYS = (*_STRINGS, "scores", "hits", "normals", "calibration")


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """N images of the test set in the order of their names, with their pixels counted in B bins of the map's value.

    The bins are the model's own, for raw scores of two models have no common scale. Each begins at the value of a
    defective pixel. With up to BINS distinct values of defective pixels, pixel AP from the bins is exact; with more the
    pixels of a bin count as tied, which moves it by less than 0.0005 as measured, and by at most 0.02 with up to 600
    million pixels (docs/metrics.md).
    """

    names: NDArray[np.str_]
    """[N] split/kind/file, ascending."""
    sha256s: NDArray[np.str_]
    """[N] of the image files."""
    mask_sha256s: NDArray[np.str_]
    """[N] of the mask files, empty where there is none."""
    kinds: NDArray[np.str_]
    """[N] `good` or the defect type."""
    scores: NDArray[np.float64]
    """[N] anomaly scores."""
    hits: NDArray[np.uint32]
    """[N, B] defective pixels in each bin, the bin of the highest scores first."""
    normals: NDArray[np.uint32]
    """[N, B] normal pixels likewise; those below every defective pixel are in no bin, for they do not change AP."""
    calibration: Calibration | None
    """None for a model without a threshold."""

    def __post_init__(self) -> None:
        count = len(self.names)
        fields = {name: getattr(self, name) for name in _ARRAYS[:-1]}
        for name, array in fields.items():
            expected = "U" if name in _STRINGS else "f" if name == "scores" else "u"
            if array.dtype.kind != expected or len(array) != count or array.ndim != (2 if expected == "u" else 1):
                raise Error(f"summary: {name} is {array.dtype} {array.shape}, expected one entry for each of {count}")
        if self.hits.shape != self.normals.shape:
            raise Error(f"summary: hits {self.hits.shape} and normals {self.normals.shape}, expected the same shape")
        if not np.isfinite(self.scores).all():
            raise Error("summary: an anomaly score is NaN or infinite, expected finite numbers; evaluate again")
        if (self.names[1:] <= self.names[:-1]).any():
            raise Error("summary: the names do not ascend, expected each image once, in the order of the names")

    @property
    def defective(self) -> NDArray[np.bool_]:
        """[N] whether it is a defect image."""
        return np.asarray(self.kinds != GOOD, dtype=np.bool_)

    @property
    def hashes(self) -> dict[str, tuple[str, str]]:
        """By name, the SHA-256 of the image and of its mask."""
        pairs = zip(self.sha256s.tolist(), self.mask_sha256s.tolist(), strict=True)
        return dict(zip(self.names.tolist(), pairs, strict=True))

    def save(self, path: Path) -> None:
        """As .npz under `path`, complete or not at all."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["calibration"] = np.array(json.dumps(self.calibration and self.calibration.to_dict()))
        with files.replacing(path) as fresh, fresh.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Summary":
        """What `save` wrote, or an Error that names the file."""
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = {name: content[name] for name in _ARRAYS}
            calibration = json.loads(str(arrays.pop("calibration")))
            return cls(**arrays, calibration=None if calibration is None else Calibration.from_dict(calibration))
        except (Error, OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise Error(f"{path} is no summary of an evaluation ({error}); evaluate the model again") from error


def summarise(scored: Scored, calibration: Calibration | None, bins: int = BINS) -> Summary:
    """The summary of a model's test set; reads the images' files and masks for their SHA-256."""
    order = np.argsort(np.array([sample.name for sample in scored.samples], dtype=np.str_))
    samples = [scored.samples[index] for index in order]
    edges = lower_edges(scored.pixels.pixels, bins)
    hits, normals = (np.zeros((len(samples), edges.size), dtype=np.uint32) for _ in range(2))
    for row, index in enumerate(order):
        map_, mask = scored.maps[index], scored.masks[index]
        hits[row], normals[row] = _count(map_[mask], edges), _count(map_[~mask], edges)
    return Summary(
        names=np.array([sample.name for sample in samples], dtype=np.str_),
        sha256s=np.array([files.sha256(sample.path) for sample in samples], dtype=np.str_),
        mask_sha256s=np.array([files.sha256(sample.mask) if sample.mask else "" for sample in samples], dtype=np.str_),
        kinds=scored.kinds[order],
        scores=scored.scores[order].astype(np.float64),
        hits=hits,
        normals=normals,
        calibration=calibration,
    )


def lower_edges(pixels: Ranking, bins: int) -> Floats:
    """Least value of each of at most `bins` bins, descending: all distinct values of defective pixels if they are few.

    Else half of the edges take equal steps of the number of defective pixels, and half equal steps of the logarithm of
    the number of all pixels at or above. By the second half, all precisions in a bin lie within e^(step) of each other.
    """
    found = np.cumsum(pixels.hits)
    if found.size <= bins:
        return pixels.thresholds
    above = found + pixels.false_from
    by_hits = np.linspace(0, found[-1], bins // 2 + 1)
    by_pixels = np.geomspace(above[0], above[-1], bins // 2 + 1)
    # The last threshold before each step, so that pixels that come in a burst have no part in the bin before them.
    before = [np.searchsorted(found, by_hits[1:-1]) - 1, np.searchsorted(above, by_pixels[1:-1]) - 1]
    kept = np.unique(np.concatenate([*before, [found.size - 1]]))
    return np.asarray(pixels.thresholds[kept[kept >= 0]])


def _count(values: Floats, edges: Floats) -> NDArray[np.int64]:
    place = edges.size - np.searchsorted(edges[::-1], values, side="right")
    return np.asarray(np.bincount(place, minlength=edges.size + 1)[: edges.size], dtype=np.int64)
