"""The summary of a model's results: pixel AP from its bins, its file, and what it refuses."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from destseg import Error
from destseg.evaluation.paired import pixel_ap
from destseg.evaluation.ranking import rank
from destseg.evaluation.summary import BINS, Summary, lower_edges, summarise

from .references import cases_by_kind
from .tested import CALIBRATION, scored


def whole(summary):
    return float(pixel_ap(summary, np.ones((1, len(summary.names)), dtype=np.int64))[0])


def binned(hits, normals, bins):
    """Pixel AP by its definition, with each value rounded down to its bin's lower edge; and the number of bins."""
    edges = lower_edges(rank(hits, normals), bins)[::-1]
    values = np.concatenate([hits, normals])
    truth = np.arange(values.size) < hits.size
    return average_precision_score(truth, np.searchsorted(edges, values, side="right")), edges.size


@settings(max_examples=100, deadline=None)
@given(cases_by_kind())
def test_with_few_values_pixel_ap_from_the_bins_is_scikit_learns(case):
    _, _, maps, masks = case
    expected = average_precision_score(masks.ravel(), maps.ravel()) if masks.any() else math.nan
    assert whole(summarise(scored(*case), None)) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 600)), min_size=1, max_size=12), st.integers(2, 40))
def test_in_any_order_of_bursts_pixel_ap_from_the_bins_keeps_its_bound(bursts, half):
    truth = np.concatenate([[True], *(np.repeat([True, False], pair) for pair in bursts)])
    values = -np.arange(truth.size, dtype=float)
    found, count = binned(values[truth], values[~truth], 2 * half)
    assert count <= 2 * half
    error = abs(found - average_precision_score(truth, values))
    assert error <= math.expm1(math.log(truth.size) / half) + 1e-12


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 600)), min_size=1, max_size=12), st.integers(2, 40))
def test_the_pixels_at_or_above_grow_by_no_more_than_a_step_within_a_bin(bursts, half):
    truth = np.concatenate([[True], *(np.repeat([True, False], pair) for pair in bursts)])
    above = 1 + np.flatnonzero(truth)  # each value once, falling
    ranked = rank(-above.astype(float), -1.0 - np.flatnonzero(~truth))
    edges = -lower_edges(ranked, 2 * half)
    bins = np.searchsorted(edges, above, side="left")
    for number in np.unique(bins):
        inside = above[bins == number]
        assert inside[-1] <= inside[0] * (above[-1] / above[0]) ** (1 / half) + 1e-9


def bursts(hits, normals, hits_first):
    pair = np.repeat([True, False] if hits_first else [False, True], [hits, normals] if hits_first else [normals, hits])
    return np.tile(pair, 20_000 // hits)


@pytest.mark.parametrize("hits", [20, 100, 1000])
@pytest.mark.parametrize("hits_first", [True, False])
def test_bursts_move_pixel_ap_by_less_than_the_documented_error(hits, hits_first):
    truth = bursts(hits, 2 * hits, hits_first)
    values = -np.arange(truth.size, dtype=float)
    found, count = binned(values[truth], values[~truth], BINS)
    assert BINS / 2 < count <= BINS
    assert found == pytest.approx(average_precision_score(truth, values), abs=5e-4)


@pytest.mark.parametrize("strength", [0, 2, 4])
def test_ordinary_scores_move_pixel_ap_by_less_than_the_documented_error(strength):
    rng = np.random.default_rng(strength)
    masks = np.arange(12)[:, None, None] >= 8
    masks = np.broadcast_to(masks & (np.arange(64) < 24), (12, 64, 64))
    maps = rng.normal(0, 1, masks.shape) + masks * rng.normal(strength, 1, (12, 1, 1))
    summary = summarise(scored(["good"] * 8 + ["dent"] * 4, maps.max(axis=(1, 2)), maps, masks), None)
    assert BINS / 2 < summary.hits.shape[1] <= BINS
    exact = average_precision_score(masks.ravel(), maps.ravel())
    assert whole(summary) == pytest.approx(exact, abs=5e-4)
    assert whole(summary) != exact


def example():
    masks = np.zeros((3, 2, 2), dtype=bool)
    masks[2, 0] = True
    maps = np.array([[[0.1, 0.2], [0.3, 0.4]], [[0.9, 0.1], [0.1, 0.6]], [[0.5, 0.8], [0.6, 0.2]]])
    return summarise(scored(["good", "good", "dent"], np.array([0.4, 0.9, 0.8]), maps, masks), CALIBRATION)


def test_images_stand_in_the_order_of_their_names_with_their_pixels_in_bins_that_begin_at_defective_ones():
    found = example()
    assert found.names.tolist() == ["test/dent/002.png", "test/good/000.png", "test/good/001.png"]
    assert found.scores.tolist() == [0.8, 0.4, 0.9]
    assert found.hits.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert found.normals.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert [bool(mask) for mask in found.mask_sha256s] == [True, False, False]
    assert len(set(found.sha256s)) == 3


@pytest.mark.parametrize("calibration", [CALIBRATION, None])
def test_a_summary_comes_back_from_its_file(tmp_path, calibration):
    saved = dataclasses.replace(example(), calibration=calibration)
    saved.save(tmp_path / "summary.npz")
    loaded = Summary.load(tmp_path / "summary.npz")
    assert loaded.calibration == calibration
    for name in ("names", "sha256s", "mask_sha256s", "kinds", "scores", "hits", "normals"):
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert [path.name for path in tmp_path.iterdir()] == ["summary.npz"]


def test_a_file_that_is_no_summary_is_refused_by_name(tmp_path):
    path = tmp_path / "summary.npz"
    example().save(path)
    whole_file = path.read_bytes()
    np.savez(tmp_path / "pickled.npz", names=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", names=np.array(["a"]))
    np.savez(tmp_path / "nothing.npz")
    broken = [whole_file[: len(whole_file) // 2], b"", b"text", whole_file.replace(b"PK", b"KP")]
    broken += [(tmp_path / name).read_bytes() for name in ("pickled.npz", "other.npz", "nothing.npz")]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(Error, match=r"summary\.npz is no summary of an evaluation"):
            Summary.load(path)
    path.unlink()
    with pytest.raises(Error, match="evaluate the model again"):
        Summary.load(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"names": np.array(["b", "a", "c"])}, "ascend"),
        ({"names": np.array(["a", "a", "c"])}, "ascend"),
        ({"scores": np.array([0.1, np.nan, 0.2])}, "NaN"),
        ({"scores": np.array([0.1, 0.2])}, "scores is"),
        ({"scores": np.array(["0.1", "0.2", "0.3"])}, "scores is"),
        ({"hits": np.zeros((3, 4), dtype=np.uint32)}, "same shape"),
        ({"hits": np.zeros((3, 2))}, "hits is"),
        ({"normals": np.zeros(3, dtype=np.uint32)}, "normals is"),
        ({"kinds": np.array([0, 1, 1])}, "kinds is"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changed, message):
    with pytest.raises(Error, match=message):
        dataclasses.replace(example(), **changed)
