"""The metrics equal slow, obvious references and scikit-learn, on small maps full of ties and on larger ones."""

import doctest
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from destseg import Error
from destseg.evaluation import metrics, ranking
from destseg.evaluation.metrics import evaluate_maps
from destseg.evaluation.ranking import CURVE_POINTS, rank, rank_pixels


@st.composite
def cases(draw):
    """Scores, maps, masks, defective of one to four images of up to 6x6 pixels with few distinct scores."""
    count, height, width = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.integers(1, 12))
    maps = (rng.integers(0, levels, (count, height, width)) / 7 - 0.5).astype(np.float32)
    defective = rng.random(count) < 0.7
    masks = (rng.random(maps.shape) < draw(st.floats(0, 1))) & defective[:, None, None]
    return maps.max(axis=(1, 2)).astype(np.float64), maps, masks, defective


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


def slow_iap(maps, masks):
    """(IAP, IAP@90): sweep the instances' own thresholds, count detections and pixels anew at each."""
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
    return float(np.mean(best)), float(next(b for k, b in enumerate(best, 1) if 10 * k >= 9 * len(regions)))


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


def same(found, expected):
    return found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_all_metrics_equal_the_slow_references(case):
    scores, maps, masks, defective = case
    found = evaluate_maps(*case)
    both = 0 < masks.sum() < masks.size
    assert same(found.pixel_auroc, roc_auc_score(masks.ravel(), maps.ravel()) if both else math.nan)
    ap = average_precision_score(masks.ravel(), maps.ravel()) if masks.any() else math.nan
    assert same(found.pixel_ap, ap)
    mixed = 0 < defective.sum() < defective.size
    assert same(found.image_auroc, roc_auc_score(defective, scores) if mixed else math.nan)
    assert same((found.iap, found.iap90), slow_iap(maps, masks))
    assert same(found.pro, slow_pro(maps, masks))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_area_under_each_curve_is_its_metric(case):
    _, maps, masks, _ = case
    ranked = rank_pixels(maps, masks)
    if masks.any() and not masks.all():
        rates, found = ranked.pixels.roc()
        assert np.trapezoid(found, rates) == pytest.approx(ranked.pixels.auroc())
        rates, overlap = ranked.pro_curve()
        assert rates[-1] == 0.3
        assert np.trapezoid(overlap, rates) / 0.3 == pytest.approx(ranked.pro())
        recall, precision = ranked.pixels.precision_recall()
        area = np.diff(np.append(0.0, recall)) @ precision
        assert area == pytest.approx(ranked.pixels.average_precision())


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_change_of_scale_changes_no_metric(case):
    scores, maps, masks, defective = case
    bent = evaluate_maps(8 * scores - 3, 8 * maps - 3, masks, defective)
    assert same(list(vars(evaluate_maps(*case)).values()), list(vars(bent).values()))


def test_they_equal_scikit_learn_on_a_million_pixels():
    rng = np.random.default_rng(0)
    masks = ndimage.gaussian_filter(rng.standard_normal((16, 256, 256)), (0, 9, 9)) > 0.12
    masks[:8] = False
    maps = (rng.standard_normal(masks.shape) + 2 * masks).astype(np.float32)
    found = evaluate_maps(maps.max(axis=(1, 2)), maps, masks, np.arange(16) >= 8)
    assert found.pixel_auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-9)
    assert found.pixel_ap == pytest.approx(average_precision_score(masks.ravel(), maps.ravel()), abs=1e-9)


def test_a_perfect_map_scores_one_everywhere_and_a_constant_map_scores_chance():
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[1, 2:4, 2:4] = masks[1, 6, 6] = True
    defective = np.array([False, True])
    perfect = evaluate_maps(np.array([0.0, 1.0]), masks.astype(np.float32), masks, defective)
    assert set(perfect.to_dict().values()) == {1.0}
    flat = evaluate_maps(np.zeros(2), np.zeros(masks.shape, dtype=np.float32), masks, defective)
    assert (flat.image_auroc, flat.pixel_auroc, flat.pixel_ap, flat.iap) == (0.5, 0.5, 5 / 128, 5 / 128)
    assert flat.pro == pytest.approx(0.15)  # the straight line from (0, 0) to (1, 1), up to 0.3


def test_instances_that_touch_at_a_corner_are_one():
    masks = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 0]], [[1, 0, 1], [0, 0, 0], [1, 0, 0]]], dtype=bool)
    assert rank_pixels(np.zeros(masks.shape), masks).detected_at.size == 1 + 3


def test_an_instance_needs_more_than_half_of_its_pixels():
    masks = np.array([[[True, True, False, False]]])
    maps = np.array([[[0.9, 0.1, 0.5, 0.0]]])
    assert rank_pixels(maps, masks).iap() == 2 / 3  # found only at 0.1, with the false pixel at 0.5


def test_without_defect_images_every_metric_is_null():
    maps = np.random.default_rng(0).random((3, 4, 4), dtype=np.float32)
    found = evaluate_maps(maps.max(axis=(1, 2)), maps, np.zeros(maps.shape, dtype=bool), np.zeros(3, dtype=bool))
    assert set(found.to_dict().values()) == {None}
    ranked = rank_pixels(maps, np.zeros(maps.shape, dtype=bool))
    assert ranked.pro_curve()[0].size == ranked.pixels.roc()[0].size == ranked.pixels.precision_recall()[0].size == 0


def test_a_defect_image_whose_mask_is_empty_counts_for_the_image_metric_only():
    maps = np.array([[[0.1]], [[0.9]]])
    found = evaluate_maps(np.array([0.1, 0.9]), maps, np.zeros((2, 1, 1), dtype=bool), np.array([False, True]))
    assert found.image_auroc == 1.0
    assert found.to_dict()["pixel_ap"] is None


@pytest.mark.parametrize("where", [(0, 0, 0), (1, 0, 0)])
def test_nan_scores_are_refused(where):
    maps = np.zeros((2, 2, 2), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[1, 0, 0] = True
    maps[where] = np.nan
    with pytest.raises(Error, match="NaN"):
        evaluate_maps(np.zeros(2), maps, masks, np.array([False, True]))


def test_arrays_that_do_not_belong_together_are_refused():
    maps = np.zeros((2, 2, 2))
    masks = np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(Error, match=r"\[N, H, W\]"):
        evaluate_maps(np.zeros(3), maps, masks, np.ones(2, dtype=bool))
    with pytest.raises(Error, match="normal image"):
        evaluate_maps(np.zeros(2), maps, masks, np.array([False, True]))
    with pytest.raises(Error, match="expected bool"):
        evaluate_maps(np.zeros(2), maps, masks.astype(np.uint8), np.ones(2, dtype=bool))


def test_curves_are_thinned_and_keep_their_ends_and_shape():
    rng = np.random.default_rng(0)
    ranked = rank(rng.normal(2, 1, 40_000), rng.normal(0, 1, 40_000))
    rates, found = ranked.roc()
    assert 400 < rates.size <= CURVE_POINTS
    assert (rates[0], found[0], rates[-1], found[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(found, rates) == pytest.approx(ranked.auroc(), abs=1e-4)


def test_the_examples_in_the_docstrings_hold():
    for module in (metrics, ranking):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0


def test_metrics_import_without_torch_or_anything_for_reports():
    code = "import sys, destseg.evaluation.metrics; print({'torch', 'matplotlib', 'jinja2', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
