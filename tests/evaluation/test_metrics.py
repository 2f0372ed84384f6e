"""The metrics equal slow, obvious references and scikit-learn, on small maps full of ties and on larger ones."""

import doctest
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from destseg import Error
from destseg.evaluation import metrics, ranking
from destseg.evaluation.metrics import evaluate_maps
from destseg.evaluation.pixels import rank_pixels
from destseg.evaluation.ranking import CURVE_POINTS, rank

from .references import cases, slow_f1_max, slow_iap, slow_pro


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
    assert same((found.iap, found.iap90), slow_iap(maps, masks, 90))
    assert same(found.pro, slow_pro(maps, masks))
    assert same(found.image_f1_max, slow_f1_max(defective, scores))
    assert same(found.pixel_f1_max, slow_f1_max(masks, maps))
    assert all(math.isnan(value) or 0 <= value <= 1 for value in vars(found).values())


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_precision_at_any_instance_recall_equals_the_slow_reference(case):
    _, maps, masks, _ = case
    ranked = rank_pixels(maps, masks)
    for percent in (1, 34, 50, 67, 100):
        assert same(ranked.iap_at(percent), slow_iap(maps, masks, percent)[1])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_pro_to_any_limit_equals_the_slow_reference(case):
    _, maps, masks, _ = case
    ranked = rank_pixels(maps, masks)
    for limit in (0.01, 0.05, 0.3, 1.0):
        assert same(ranked.pro(limit), slow_pro(maps, masks, limit))


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
    assert (flat.image_f1_max, flat.pixel_f1_max) == (2 / 3, 2 * 5 / (5 + 128))  # everything is called defective


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


def test_without_any_image_every_metric_is_null():
    empty = evaluate_maps(np.zeros(0), np.zeros((0, 4, 4)), np.zeros((0, 4, 4), dtype=bool), np.zeros(0, dtype=bool))
    assert set(empty.to_dict().values()) == {None}


def test_without_normal_images_the_normal_pixels_of_the_defect_images_stand_against_the_defects():
    maps, masks = np.array([[[0.9, 0.1, 0.5]]]), np.array([[[True, False, False]]])
    found = evaluate_maps(np.array([0.9]), maps, masks, np.array([True])).to_dict()
    assert found.pop("image_auroc") is None
    assert set(found.values()) == {1.0}


def test_without_any_normal_pixel_what_needs_a_false_positive_rate_is_null_and_the_rest_is_one():
    found = evaluate_maps(np.array([0.9]), np.array([[[0.9, 0.1]]]), np.ones((1, 1, 2), dtype=bool), np.array([True]))
    undefined = {name for name, value in found.to_dict().items() if value is None}
    assert undefined == {"image_auroc", "pixel_auroc", "pro"}
    assert {value for value in found.to_dict().values() if value is not None} == {1.0}


def test_the_pixels_of_a_defect_image_whose_mask_is_empty_are_normal_ones():
    maps = np.array([[[0.1, 0.1]], [[0.9, 0.9]], [[0.5, 0.1]]])
    masks, defective = np.zeros(maps.shape, dtype=bool), np.array([False, True, True])
    alone = evaluate_maps(maps[:2].max(axis=(1, 2)), maps[:2], masks[:2], defective[:2])
    assert alone.image_auroc == alone.image_f1_max == 1.0
    assert {alone.to_dict()[name] for name in ("pixel_auroc", "pixel_ap", "iap", "iap90", "pro", "pixel_f1_max")} == {
        None
    }
    masks[2, 0, 0] = True
    assert evaluate_maps(maps.max(axis=(1, 2)), maps, masks, defective).pixel_ap == 1 / 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["normal pixel", "defective pixel", "normal image", "defect image"])
def test_scores_that_are_no_finite_numbers_are_refused(value, where):
    maps, scores = np.zeros((2, 2, 2), dtype=np.float32), np.zeros(2)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[1, 0, 0] = True
    image = int(where.startswith("defect"))
    if where.endswith("pixel"):
        maps[image, 0, 0] = value
    else:
        scores[image] = value
    with pytest.raises(Error, match="NaN or infinite"):
        evaluate_maps(scores, maps, masks, np.array([False, True]))


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
