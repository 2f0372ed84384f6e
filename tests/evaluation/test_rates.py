"""Rates of wrong verdicts: counted on the right images, with intervals that exact binomial sums confirm."""

import doctest
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest

from destseg.dataset.layout import Sample
from destseg.evaluation import rates as module
from destseg.evaluation.rates import flat, rate, rates
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

CALIBRATION = Calibration(
    threshold=0.5,
    target_rate=0.01,
    provable_rate=0.02,
    confidence=0.95,
    images=9,
    heat_low=0.1,
    heat_high=0.4,
    scores=(0.5,),
)


def scored(kinds, scores):
    samples = [Sample(path=Path(f"{kind}/{i}.png"), split="test", kind=kind) for i, kind in enumerate(kinds)]
    empty = np.zeros((len(kinds), 2, 2))
    return Scored(samples=samples, scores=np.array(scores, dtype=float), maps=empty, masks=empty.astype(bool))


def at_most(count, images, share):
    """Probability of at most `count` of `images`, each with probability `share`: a sum, without rounding."""
    share = Fraction(share)
    return sum(comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(count + 1))


@pytest.mark.parametrize("images", [1, 2, 7, 30, 150])
def test_the_bounds_are_where_either_tail_has_two_and_a_half_percent(images):
    for count in {0, 1, images // 2, images - 1, images}:
        found = rate(count, images)
        assert 0 <= found.low <= found.share <= found.high <= 1
        if count:
            assert float(1 - at_most(count - 1, images, found.low)) == pytest.approx(0.025, abs=1e-9)
        else:
            assert found.low == 0
        if count < images:
            assert float(at_most(count, images, found.high)) == pytest.approx(0.025, abs=1e-9)
        else:
            assert found.high == 1


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.93])
def test_the_interval_covers_the_true_share_at_least_as_often_as_it_says(share):
    images, covered = 20, Fraction(0)
    for count in range(images + 1):
        found = rate(count, images)
        if found.low <= share <= found.high:
            covered += at_most(count, images, share) - (at_most(count - 1, images, share) if count else 0)
    assert covered >= Fraction("0.95")


def test_wrong_verdicts_are_counted_by_kind_and_a_score_at_the_threshold_is_accepted():
    found = rates(
        scored(["good", "good", "good", "dent", "dent", "crack"], [0.5, 0.51, 0.1, 0.5, 0.6, 0.2]), CALIBRATION
    )
    assert (found.false_rejects.count, found.false_rejects.images) == (1, 3)
    assert (found.escapes.count, found.escapes.images) == (2, 3)
    assert {kind: (each.count, each.images) for kind, each in found.by_type.items()} == {
        "crack": (1, 1),
        "dent": (1, 2),
    }
    assert found.to_dict()["escape_rate"] == pytest.approx(2 / 3)


def test_what_cannot_be_known_is_null():
    nothing = rates(scored([], []), CALIBRATION)
    assert (nothing.false_rejects, nothing.escapes, nothing.by_type) == (None, None, {})
    uncalibrated = rates(scored(["good", "dent"], [0.1, 0.9]), None)
    assert (uncalibrated.false_rejects, uncalibrated.escapes, uncalibrated.by_type) == (None, None, {"dent": None})
    assert set(uncalibrated.to_dict().values()) == {None}
    assert flat("escape", None) == {"escape_rate": None, "escape_rate_low": None, "escape_rate_high": None}


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0
