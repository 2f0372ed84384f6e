"""Pixels counted at levels give the exact metrics of the maps rounded to these, and a bound on what that changes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destseg import Error
from destseg.dataset.layout import GOOD
from destseg.evaluation.metrics import evaluate_maps
from destseg.evaluation.streamed import LEVELS, Streamed, level_of, score_of

from .references import cases_by_kind

PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "iap", "iap90", "pro", "pixel_f1_max")
scores_of_pixels = st.floats(-10, 10, width=32, allow_subnormal=False)


def stream(kinds, scores, maps, masks, batch=2):
    streamed = Streamed()
    for start in range(0, len(maps), batch):
        part = slice(start, start + batch)
        streamed.add(kinds[part], scores[part], maps[part], masks[part])
    return streamed


def rounded(maps):
    return score_of(level_of(maps))


def crowded(maps, seed):
    """In the same order but for ties, in [0, 1], and so near to each other that levels merge some."""
    noise = np.random.default_rng(seed).uniform(0, 1e-3, maps.shape)
    return (1 / (1 + np.exp(-4 * (maps + noise)))).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(cases_by_kind(), st.integers(0, 99))
def test_streamed_metrics_are_those_of_the_maps_rounded_to_their_levels(case, seed):
    kinds, scores, maps, masks = case
    maps = crowded(maps, seed)
    streamed = stream(kinds, scores, maps, masks)
    exact = evaluate_maps(scores, rounded(maps), masks, kinds != GOOD)
    assert vars(streamed.metrics()) == pytest.approx(vars(exact), abs=1e-12, nan_ok=True)
    for kind in streamed.defect_types:
        of = (kinds == GOOD) | (kinds == kind)
        exact = evaluate_maps(scores[of], rounded(maps[of]), masks[of], kinds[of] != GOOD)
        assert vars(streamed.metrics_of(kind)) == pytest.approx(vars(exact), abs=1e-12, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(cases_by_kind(), st.integers(0, 99))
def test_the_best_case_bounds_the_metrics_of_the_maps_as_they_came(case, seed):
    kinds, scores, maps, masks = case
    maps = crowded(maps, seed)
    streamed = stream(kinds, scores, maps, masks)
    exact = vars(evaluate_maps(scores, maps, masks, kinds != GOOD))
    found, best = vars(streamed.metrics()), vars(streamed.best_case())
    for name in PIXEL_METRICS:
        assert math.isnan(exact[name]) or exact[name] <= best[name] + 1e-12
    for name in ("pixel_auroc", "pro"):
        assert math.isnan(exact[name]) or exact[name] >= 2 * found[name] - best[name] - 1e-12
    assert math.isnan(exact["pixel_f1_max"]) or exact["pixel_f1_max"] >= found["pixel_f1_max"] - 1e-12


@settings(max_examples=300)
@given(st.lists(scores_of_pixels, min_size=2, max_size=20))
def test_levels_rise_with_the_score_and_lie_close_to_it(values):
    scores = np.sort(np.array(values, dtype=np.float32))
    levels = level_of(scores)
    assert (np.diff(levels) >= 0).all()
    assert levels.min() >= 0
    assert levels.max() < LEVELS
    found = score_of(levels)
    assert (np.diff(found) >= 0).all()
    distance = np.where(scores < 0.5, np.abs(scores), np.abs(1 - scores))
    assert (np.abs(found - scores) <= distance / 2048).all()
    assert np.unique(found).size == np.unique(levels).size


def test_both_zeros_are_one_score():
    assert level_of(np.array([-0.0], dtype=np.float32)) == level_of(np.array([0.0], dtype=np.float32))


def test_no_image_at_all_leaves_every_metric_null():
    assert set(Streamed().metrics().to_dict().values()) == {None}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_finite_numbers_are_refused(value):
    maps, masks = np.full((1, 2, 2), 0.5), np.zeros((1, 2, 2), dtype=bool)
    maps[0, 1, 1] = value
    with pytest.raises(Error, match="NaN or infinite"):
        Streamed().add(np.array([GOOD]), np.zeros(1), maps, masks)


def test_a_normal_image_with_a_mask_is_refused():
    with pytest.raises(Error, match="normal image"):
        Streamed().add(np.array([GOOD]), np.zeros(1), np.zeros((1, 2, 2)), np.ones((1, 2, 2), dtype=bool))
