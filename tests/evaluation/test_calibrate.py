"""The threshold keeps its promise on new normal images, and the colour range keeps good parts calm."""

import doctest
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from destseg import Error
from destseg.evaluation import calibrate as module
from destseg.evaluation.calibrate import (
    CalibrationSettings,
    calibrate,
    heat_range,
    images_needed,
    kept_images,
    moved,
    provable_rate,
)

SETTINGS = CalibrationSettings()


def maps_of(count, seed=0):
    return np.random.default_rng(seed).beta(1, 30, (count, 16, 16)).astype(np.float32)


@given(st.integers(1, 1500), st.sampled_from([0.005, 0.01, 0.05, 0.2]))
def test_the_threshold_is_the_smallest_score_that_binomial_counting_allows(images, rate):
    settings = CalibrationSettings(false_reject_rate=rate)
    kept = kept_images(images, settings)

    def keeps(rank):  # at most rank - 1 of the images lie among the share 1 - rate of lowest scores
        return stats.binom.cdf(rank - 1, images, 1 - rate) >= settings.confidence

    assert keeps(kept) or kept == images
    assert kept == 1 or not keeps(kept - 1)


def exact_confidence(images, kept, rate):
    """Probability that at most `rate` of all normal images lie above the `kept`-th lowest of `images` scores.

    It is that of fewer than `kept` images among the share 1 - rate with the lowest scores: a sum, without rounding.
    """
    rate = Fraction(rate)
    return sum(comb(images, below) * (1 - rate) ** below * rate ** (images - below) for below in range(kept))


@pytest.mark.parametrize("images", [1, 2, 17, 59, 298, 299])
@pytest.mark.parametrize(("rate", "confidence"), [(0.01, 0.95), (0.05, 0.99), (0.2, 0.5)])
def test_threshold_and_bound_agree_with_exact_binomial_sums(images, rate, confidence):
    settings = CalibrationSettings(false_reject_rate=rate, confidence=confidence)
    kept = kept_images(images, settings)
    enough = exact_confidence(images, kept, rate) >= Fraction(confidence)
    assert enough or kept == images
    assert kept == 1 or exact_confidence(images, kept - 1, rate) < Fraction(confidence)
    bound = provable_rate(images, kept, confidence)
    assert enough == (bound <= rate)
    for step, higher in ((1 - 1e-9, False), (1 + 1e-9, True)):  # the tightest rate that still holds
        assert (exact_confidence(images, kept, bound * step) >= Fraction(confidence)) is higher


@given(st.floats(0.001, 0.5), st.floats(0.5, 0.999))
def test_so_many_images_prove_the_target_and_one_fewer_does_not(rate, confidence):
    settings = CalibrationSettings(false_reject_rate=rate, confidence=confidence)
    needed = images_needed(settings)
    assert provable_rate(needed, needed, confidence) <= rate * (1 + 1e-9)
    assert needed == 1 or provable_rate(needed - 1, needed - 1, confidence) > rate * (1 - 1e-9)


def test_298_images_are_too_few_for_one_percent_and_299_are_enough():
    few, enough = (calibrate(np.arange(n) / n, maps_of(n), SETTINGS) for n in (298, 299))
    assert few.threshold == 297 / 298
    assert few.provable_rate > few.target_rate == 0.01
    assert enough.provable_rate <= 0.01
    assert few.provable_rate == pytest.approx(1 - 0.05 ** (1 / 298))


def test_the_promise_holds_in_nineteen_of_twenty_repetitions():
    rng = np.random.default_rng(1)
    settings = CalibrationSettings(false_reject_rate=0.05)
    kept = kept_images(200, settings)
    thresholds = np.sort(rng.random((4000, 200)), axis=1)[:, kept - 1]
    assert 0.95 <= (1 - thresholds <= 0.05).mean() < 0.99


def test_more_images_prove_more_and_reject_nobody_of_the_few():
    rates = [calibrate(np.linspace(0, 1, n), maps_of(n), SETTINGS).provable_rate for n in (5, 20, 60, 298)]
    assert rates == sorted(rates, reverse=True)
    scores = np.random.default_rng(0).random(20)
    found = calibrate(scores, maps_of(20), SETTINGS)
    assert not any(found.is_anomalous(score) for score in scores)


def test_all_scores_of_few_images_are_kept_in_order():
    scores = np.random.default_rng(0).random(1024)
    assert calibrate(scores, maps_of(1024), SETTINGS).scores == tuple(np.sort(scores).tolist())


@pytest.mark.parametrize("images", [1025, 3000, 20_000])
def test_the_quantiles_of_many_images_give_a_drift_test_the_same_distance(images):
    rng = np.random.default_rng(images)
    scores, stream = rng.normal(size=images), rng.normal(0.2, 1.1, size=400)
    found = calibrate(scores, maps_of(1), SETTINGS)
    assert (found.images, len(found.scores)) == (images, 1024)
    assert (found.scores[0], found.scores[-1]) == (scores.min(), scores.max())
    assert set(found.scores) <= set(scores.tolist())
    kept, full = (stats.ks_2samp(stream, sample).statistic for sample in (found.scores, scores))
    assert kept == pytest.approx(full, abs=0.001)


def test_good_parts_look_calm_and_a_rejecting_region_strong():
    maps = maps_of(40)
    threshold = float(np.sort(maps.reshape(40, -1), axis=1)[:, -4:].mean(axis=1).max())
    low, high = heat_range(maps, threshold)
    assert (maps <= low).mean() >= 0.99
    assert (threshold - low) / (high - low) == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.4, 1.0])
def test_constant_maps_still_give_a_range(value):
    low, high = heat_range(np.full((2, 8, 8), value, dtype=np.float32), value)
    assert low < value < high


def test_no_images_and_scores_that_are_no_numbers_are_refused():
    with pytest.raises(Error, match="calibration_share"):
        calibrate(np.zeros(0), np.zeros((0, 8, 8)), SETTINGS)
    with pytest.raises(Error, match="not finite"):
        calibrate(np.array([np.nan]), maps_of(1), SETTINGS)


@pytest.mark.parametrize("settings", [{"false_reject_rate": 0}, {"confidence": 1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected more than 0"):
        CalibrationSettings(**settings)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("images", [1, 20, 1024, 3000])
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.25])
def test_a_moved_threshold_is_exceeded_by_no_more_than_the_share_asked_for(images, rate):
    scores = np.random.default_rng(images).normal(size=images)
    before = calibrate(scores, maps_of(images), SETTINGS)
    after = moved(before, rate)
    above = (scores > after.threshold).mean()
    assert above <= rate
    lower = [score for score in before.scores if score < after.threshold]
    assert not lower or (scores > lower[-1]).mean() > rate  # the lowest of the scores that were kept
    assert after.scores == before.scores
    assert after.provable_rate == pytest.approx(provable_rate(images, images - round(above * images), 0.95))
    assert after.heat_high - after.threshold == pytest.approx((after.threshold - after.heat_low) / 2)
    assert after.heat_low <= before.heat_low


def test_a_threshold_moved_to_where_it_was_is_the_same():
    before = calibrate(np.arange(473.0), maps_of(473), SETTINGS)
    assert moved(before, 1 / 473).threshold == before.threshold


def test_a_threshold_without_scores_and_a_rate_that_is_none_are_refused():
    before = calibrate(np.arange(9.0), maps_of(9), SETTINGS)
    with pytest.raises(Error, match="train the model again"):
        moved(type(before)(**{**vars(before), "scores": ()}), 0.1)
    for rate in (-0.1, 1.0, float("nan")):
        with pytest.raises(Error, match="expected 0 up to 1"):
            moved(before, rate)
