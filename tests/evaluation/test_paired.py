"""Two models on the same images: differences with intervals, verdicts image by image, and what is refused."""

import dataclasses
import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from destseg import Error
from destseg.evaluation import paired
from destseg.evaluation.paired import CLEAR, Changes, Verdicts, compare, draws, image_auroc, pixel_ap, verdicts
from destseg.evaluation.summary import summarise

from .references import cases_by_kind
from .tested import CALIBRATION, scored

OTHER = dataclasses.replace(CALIBRATION, threshold=0.2, heat_low=0.0, heat_high=0.3)


@st.composite
def pairs(draw):
    """Champion and challenger on the same images, with few distinct values: of both the pixel AP is exact."""
    kinds, scores, maps, masks = draw(cases_by_kind())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    others = rng.permuted(maps, axis=None)
    return scored(kinds, scores, maps, masks), scored(kinds, others.max(axis=(1, 2)), others, masks)


def summaries(pair):
    return summarise(pair[0], CALIBRATION), summarise(pair[1], OTHER)


def slow_metrics(model, chosen):
    """Image AUROC and pixel AP of the images `chosen`, some of them more than once, as scikit-learn has them."""
    scores, truth = model.scores[chosen], model.defective[chosen]
    maps, masks = model.maps[chosen].ravel(), model.masks[chosen].ravel()
    auroc = roc_auc_score(truth, scores) if 0 < truth.sum() < truth.size else math.nan
    return auroc, average_precision_score(masks, maps) if masks.any() else math.nan


def by_name(model):
    """The same images in the order of their names, in which a summary has them."""
    order = np.argsort([sample.name for sample in model.samples])
    return in_order(model, order)


def in_order(model, order):
    samples = [model.samples[index] for index in order]
    scores, maps, masks = (array[order] for array in (model.scores, model.maps, model.masks))
    return dataclasses.replace(model, samples=samples, scores=scores, maps=maps, masks=masks)


@settings(max_examples=40, deadline=None)
@given(pairs(), st.integers(0, 99))
def test_a_resample_has_the_metrics_of_its_images_measured_anew(pair, seed):
    champion, challenger = map(by_name, pair)
    weights = next(draws(champion.kinds, 3, np.random.default_rng(seed)))
    for model in (champion, challenger):
        summary = summarise(model, None)
        found = np.stack([image_auroc(summary, weights), pixel_ap(summary, weights)], axis=1)
        chosen = [np.repeat(np.arange(row.size), row) for row in weights]
        assert found == pytest.approx(np.array([slow_metrics(model, each) for each in chosen]), abs=1e-12, nan_ok=True)


def noisy_pair():
    """Half of 28 images normal, defects of two types; the challenger sees them twice as well."""
    rng = np.random.default_rng(0)
    kinds = np.array(["good"] * 14 + ["crack", "dent"] * 7)
    masks = np.zeros((kinds.size, 8, 8), dtype=bool)
    masks[kinds != "good", 2:5, 2:6] = True
    ease = masks * rng.normal(1, 0.7, (kinds.size, 1, 1))
    maps = [rng.normal(0, 1, masks.shape) + ease * (1 + gain) for gain in (0, 1)]
    return [scored(kinds, map_.max(axis=(1, 2)), map_, masks) for map_ in maps]


def test_the_interval_is_that_of_a_bootstrap_written_as_a_loop():
    champion, challenger = map(by_name, noisy_pair())
    found = compare(*summaries((champion, challenger)), resamples=250, seed=7)
    gains = []
    for weights in draws(champion.kinds, 250, np.random.default_rng(7)):
        for row in weights:
            chosen = np.repeat(np.arange(row.size), row)
            gains.append(np.subtract(slow_metrics(challenger, chosen), slow_metrics(champion, chosen)))
    assert len(gains) == 250
    bounds = np.percentile(gains, [2.5, 97.5], axis=0)
    for column, difference in enumerate((found.image_auroc, found.pixel_ap)):
        assert (difference.low, difference.high) == pytest.approx(tuple(bounds[:, column]), abs=1e-12)
        assert difference.low < difference.difference < difference.high
        assert difference.champion == pytest.approx(slow_metrics(champion, np.arange(28))[column], abs=1e-12)
        assert difference.challenger == pytest.approx(slow_metrics(challenger, np.arange(28))[column], abs=1e-12)
    assert found.pixel_ap.low > 0.1


def test_resamples_are_drawn_with_replacement_within_each_kind_and_repeat_with_their_seed():
    kinds = np.array(["dent"] * 3 + ["good"] * 40 + ["hole"])
    first, again, other = (np.concatenate(list(draws(kinds, 1050, np.random.default_rng(seed)))) for seed in (1, 1, 2))
    assert first.shape == (1050, 44)
    for kind in ("dent", "good", "hole"):
        assert (first[:, kinds == kind].sum(axis=1) == (kinds == kind).sum()).all()
    good = first[:, 3:43]
    assert good.mean(axis=0) == pytest.approx(np.ones(40), abs=0.15)
    assert good.var() == pytest.approx(1 - 1 / 40, abs=0.05)
    assert (first == again).all()
    assert (first != other).any()
    assert np.unique(first, axis=0).shape[0] == 1050


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_a_model_against_itself_differs_in_nothing(pair):
    model = summarise(pair[0], CALIBRATION)
    found = compare(model, model, resamples=100)
    for difference in (found.image_auroc, found.pixel_ap):
        assert difference is None or (difference.difference, difference.low, difference.high) == (0, 0, 0)
    assert found.verdicts.better == found.verdicts.worse == ()
    for changes in (found.verdicts.good, *found.verdicts.by_type.values()):
        assert changes.newly_rejected == changes.newly_accepted == ()
        assert changes.champion == changes.challenger


def swapped(changes):
    return dataclasses.replace(
        changes,
        champion=changes.challenger,
        challenger=changes.champion,
        newly_rejected=changes.newly_accepted,
        newly_accepted=changes.newly_rejected,
    )


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_swapping_the_models_mirrors_everything(pair):
    champion, challenger = summaries(pair)
    there, back = compare(champion, challenger, resamples=100), compare(challenger, champion, resamples=100)
    for one, other in ((there.image_auroc, back.image_auroc), (there.pixel_ap, back.pixel_ap)):
        assert (one is None) == (other is None)
        if one is not None:
            assert (one.champion, one.challenger) == (other.challenger, other.champion)
            assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)
    assert (there.verdicts.better, there.verdicts.worse) == (back.verdicts.worse, back.verdicts.better)
    assert there.verdicts.good == swapped(back.verdicts.good)
    assert there.verdicts.by_type == {kind: swapped(changes) for kind, changes in back.verdicts.by_type.items()}


@settings(max_examples=40, deadline=None)
@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_is_irrelevant(pair, random):
    expected = compare(*summaries(pair), resamples=100)
    orders = [random.sample(range(len(pair[0].samples)), len(pair[0].samples)) for _ in pair]
    shuffled = [in_order(model, order) for model, order in zip(pair, orders, strict=True)]
    assert compare(*summaries(shuffled), resamples=100) == expected


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_a_models_own_scale_is_irrelevant(pair):
    champion, challenger = pair
    scaled = dataclasses.replace(challenger, scores=challenger.scores * 8, maps=challenger.maps * 8)
    eightfold = {name: 8 * getattr(OTHER, name) for name in ("threshold", "heat_low", "heat_high")}
    found = compare(
        summarise(champion, CALIBRATION), summarise(scaled, dataclasses.replace(OTHER, **eightfold)), resamples=100
    )
    assert found == compare(*summaries(pair), resamples=100)


def test_intervals_hold_the_true_difference_about_as_often_as_they_say():
    covered, sets = 0, 120
    true = 0.5 * math.erfc(-1.5 / 2) - 0.5 * math.erfc(-1 / 2)  # AUROC of normal scores shifted by 1.5 and by 1
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        kinds = np.array(["good"] * 40 + ["dent"] * 40)
        shared = rng.normal(0, 0.8, 80)
        scores = [shared + rng.normal(0, 0.6, 80) + shift * (kinds == "dent") for shift in (1, 1.5)]
        blank = np.zeros((80, 1, 1))
        models = [summarise(scored(kinds, each, blank, blank.astype(bool)), None) for each in scores]
        found = compare(*models, resamples=200).image_auroc
        covered += found.low <= true <= found.high
    assert 0.88 * sets <= covered <= 0.99 * sets


def of_scores(kinds, scores, calibration=CALIBRATION):
    blank = np.zeros((len(kinds), 1, 1))
    return summarise(scored(kinds, scores, blank, blank.astype(bool)), calibration)


def test_a_defect_is_better_or_worse_by_the_verdict_first_and_by_the_colour_then():
    kinds = ["dent"] * 8 + ["crack"] * 2 + ["good"] * 3
    #   place in 0.25..0.625:  caught, missed,    +0.08,   +0.13,  -0.13,  beyond both ends      at the threshold
    champion = of_scores(kinds, [0.49, 0.51, 0.55, 0.55, 0.60, 0.7, 0.1, 0.30, 0.50, 0.9, 0.1, 0.6, 0.6])
    challenger = of_scores(kinds, [0.51, 0.49, 0.58, 0.60, 0.55, 2.0, -9.0, 0.35, 0.50, 0.9, 0.6, 0.6, 0.5])
    found = verdicts(champion, challenger)
    assert found.better == ("test/dent/000.png", "test/dent/003.png", "test/dent/007.png")
    assert found.worse == ("test/dent/001.png", "test/dent/004.png")
    assert found.newly_caught == ("test/dent/000.png",)
    assert found.newly_missed == ("test/dent/001.png",)
    assert list(found.by_type) == ["crack", "dent"]
    crack, dent = found.by_type["crack"], found.by_type["dent"]
    assert (crack.images, crack.champion, crack.challenger) == (2, 1, 1)
    assert (dent.images, dent.champion, dent.challenger) == (8, 5, 5)
    assert found.good == Changes(
        images=3,
        champion=2,
        challenger=2,
        newly_rejected=("test/good/010.png",),
        newly_accepted=("test/good/012.png",),
    )
    assert str(found) == "better on 3 of 10 defects, worse on 2 (1 newly missed), as many false rejects"


def test_each_model_is_judged_by_its_own_calibration():
    kinds = ["dent", "good"]
    found = verdicts(of_scores(kinds, [0.49, 0.4]), of_scores(kinds, [0.21, 0.1], OTHER))
    assert found.newly_caught == ("test/dent/000.png",)
    same = verdicts(of_scores(kinds, [0.5625, 0.4]), of_scores(kinds, [0.25, 0.1], OTHER))
    assert (same.better, same.worse, str(same)) == (
        (),
        (),
        "better on 0 of 1 defects, worse on 0, as many false rejects",
    )
    assert CLEAR > 0


@pytest.mark.parametrize(
    ("images", "rejects", "sentence"),
    [
        (75, (4, 4), "better on 1 of 75 defects, worse on 2, as many false rejects"),
        (75, (4, 5), "better on 1 of 75 defects, worse on 2, 1 false reject more"),
        (75, (4, 2), "better on 1 of 75 defects, worse on 2, 2 false rejects fewer"),
        (75, None, "better on 1 of 75 defects, worse on 2, no normal images"),
        (0, (0, 3), "no defects, 3 false rejects more"),
    ],
)
def test_the_verdict_is_a_sentence(images, rejects, sentence):
    champion, challenger = rejects or (0, 0)
    none = {"newly_rejected": (), "newly_accepted": ()}
    good = Changes(images=9 if rejects else 0, champion=champion, challenger=challenger, **none)
    dent = Changes(images=images, champion=0, challenger=0, **none)
    assert str(Verdicts(by_type={"dent": dent}, good=good, better=("a",), worse=("b", "c"))) == sentence


def test_what_the_images_do_not_define_is_none():
    nothing = compare(of_scores([], []), of_scores([], []))
    assert (nothing.image_auroc, nothing.pixel_ap, str(nothing)) == (None, None, "no defects, no normal images")
    assert compare(of_scores(["dent"], [0.4]), of_scores(["dent"], [0.4])).image_auroc is None
    maskless = compare(of_scores(["dent", "good"], [0.4, 0.2]), of_scores(["dent", "good"], [0.1, 0.2]))
    assert maskless.pixel_ap is None
    assert maskless.image_auroc.difference == -1
    bare = compare(of_scores(["dent"], [0.4]), of_scores(["dent"], [0.4], None))
    assert (bare.verdicts, str(bare)) == (None, "no verdicts: a model has no threshold")


def test_resamples_without_a_defective_pixel_do_not_count():
    kinds, masks = ["dent", "dent", "good"], np.zeros((3, 2, 2), dtype=bool)
    masks[0, 0] = True
    maps = np.linspace(0, 1, 12).reshape(3, 2, 2)
    models = [summarise(scored(kinds, np.zeros(3), each, masks), None) for each in (maps, -maps)]
    found = compare(*models).pixel_ap
    assert 0 < found.low <= found.difference <= found.high


def test_results_of_other_images_are_refused():
    two, three = of_scores(["dent", "good"], [0.1, 0.2]), of_scores(["dent", "good", "good"], [0.1, 0.2, 0.3])
    with pytest.raises(
        Error, match=r"1 differ.* test/good/002\.png, which only the challenger was given; evaluate both"
    ):
        compare(two, three)
    with pytest.raises(Error, match=r"test/good/002\.png, which only the champion was given"):
        compare(three, two)
    repainted = dataclasses.replace(two, mask_sha256s=np.array(["other", ""]))
    with pytest.raises(Error, match=r"test/dent/000\.png, whose mask is not the same"):
        compare(two, repainted)
    with pytest.raises(Error, match=r"2 differ.* test/dent/000\.png, whose file is not the same"):
        compare(two, dataclasses.replace(two, sha256s=np.array(["x", "y"])))


def test_a_handful_of_resamples_is_refused():
    model = of_scores(["dent"], [0.4])
    with pytest.raises(ValueError, match="resamples is 99, expected at least 100"):
        compare(model, model, resamples=99)


def test_the_examples_in_the_docstrings_hold():
    found = doctest.testmod(paired)
    assert (found.failed, found.attempted > 3) == (0, True)
