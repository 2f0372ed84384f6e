"""Near-duplicates: images that show the very same part in the very same place, whatever their file and its quality."""

import base64
from collections.abc import Sequence

import numpy as np

from destseg.dataset.manifest import THUMBNAIL

_BLOCK = 512  # images compared with all at once
_PAIRS = 4000  # from which the usual difference is taken
_SAME = 0.01  # differences up to this are the camera's noise, also where all images of a dataset are as alike


def nearest(thumbnails: Sequence[str], groups: Sequence[int], limit: float) -> list[dict[int, int]]:
    """For each image the most similar one before it in each group, where that is a near-duplicate: {group: index}.

    The difference of two images is the distance of the gradients of their thumbnails (`manifest.thumbnail`), each of
    length 1: light and contrast do not count. Near is up to `limit` times the median difference of two images of this
    dataset, as parts in a fixture look more alike than pieces of leather do.
    """
    count = len(thumbnails)
    found: list[dict[int, int]] = [{} for _ in range(count)]
    if count < 2:
        return found
    gradients = gradients_of(thumbnails)
    near = max(limit * usual(gradients), _SAME)
    group = np.asarray(groups)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        likeness = gradients[start:stop] @ gradients[:stop].T
        likeness[np.arange(stop)[None, :] >= np.arange(start, stop)[:, None]] = -1
        for value in np.unique(group[:stop]):
            there = np.flatnonzero(group[:stop] == value)
            best = likeness[:, there].argmax(axis=1)
            alike = likeness[np.arange(stop - start), there[best]]
            for row in np.flatnonzero(alike >= 1 - near**2 / 2):
                found[start + row][int(value)] = int(there[best[row]])
    return found


def gradients_of(thumbnails: Sequence[str]) -> np.ndarray:
    """float32 [N, D] of length 1; a thumbnail of one grey has none, and is like no other."""
    out = np.empty((len(thumbnails), 2 * (THUMBNAIL - 1) ** 2), np.float32)
    for index, text in enumerate(thumbnails):
        grey = np.frombuffer(base64.b64decode(text), np.uint16).reshape(THUMBNAIL, THUMBNAIL).astype(np.float32)
        across, down = np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1]
        out[index] = np.concatenate([across.ravel(), down.ravel()])
    length = np.linalg.norm(out, axis=1, keepdims=True)
    out /= np.maximum(length, 1e-6)
    return out


def usual(gradients: np.ndarray) -> float:
    """The median difference of two images, from pairs that are the same at each call."""
    pairs = np.random.default_rng(0).integers(0, len(gradients), (_PAIRS, 2))
    first, second = gradients[pairs[pairs[:, 0] != pairs[:, 1]].T]
    likeness = np.einsum("nd,nd->n", first, second)
    return float(np.median(np.sqrt(np.maximum(0, 2 - 2 * likeness))))
