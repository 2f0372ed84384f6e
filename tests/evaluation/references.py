"""The metrics as their definitions say them, slowly, and small maps full of ties to compute them on."""

import math
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage


@st.composite
def cases(draw):
    """Scores, maps, masks, defective of one to six images of up to 6x6 pixels with few distinct scores."""
    count, height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.integers(1, 12))
    maps = (rng.integers(0, levels, (count, height, width)) / 7 - 0.5).astype(np.float32)
    defective = rng.random(count) < 0.7
    masks = (rng.random(maps.shape) < draw(st.floats(0, 1))) & defective[:, None, None]
    return maps.max(axis=(1, 2)).astype(np.float64), maps, masks, defective


@st.composite
def cases_by_kind(draw):
    """Kinds, scores, maps, masks: the same, with the defect images of two types, and the kinds in any order."""
    scores, maps, masks, defective = draw(cases())
    types = draw(st.lists(st.sampled_from(["crack", "hole"]), min_size=len(maps), max_size=len(maps)))
    return np.where(defective, types, "good"), scores, maps, masks


def instances(masks):
    """The pixels of each 8-connected region as one boolean array over all images."""
    found = []
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        for number in range(1, count + 1):
            region = np.zeros_like(masks)
            region[index] = labels == number
            found.append(region)
    return found


def slow_f1_max(truth, scores):
    """Highest 2 TP / (2 TP + FP + FN) with what scores at or above each distinct score called defective."""
    if not truth.any():
        return math.nan
    called = [scores >= threshold for threshold in np.unique(scores)]
    return max(2 * (over & truth).sum() / (2 * (over & truth).sum() + (over ^ truth).sum()) for over in called)


def slow_iap(maps, masks, percent):
    """(IAP, IAP@percent): sweep the instances' own thresholds, count detections and pixels anew at each."""
    regions = instances(masks)
    if not regions:
        return math.nan, math.nan
    thresholds = []
    for region in regions:
        thresholds.append(max(t for t in maps[region] if (maps[region] >= t).sum() > 0.5 * region.sum()))
    points = []
    for threshold in set(thresholds):
        recall = sum((maps[r] >= threshold).sum() > 0.5 * r.sum() for r in regions)
        points.append((recall, masks[maps >= threshold].mean()))
    best = [max(p for recall, p in points if recall >= wanted) for wanted in range(1, len(regions) + 1)]
    return float(np.mean(best)), float(next(b for k, b in enumerate(best, 1) if 100 * k >= percent * len(regions)))


def slow_pro(maps, masks, limit=0.3):
    """Trapezoids under (false-positive rate, mean overlap) at every distinct score, cut at `limit`."""
    regions = instances(masks)
    if not regions or masks.all():
        return math.nan
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        over = maps >= threshold
        points.append((over[~masks].mean(), np.mean([over[r].mean() for r in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit
