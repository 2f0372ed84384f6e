"""An image's part is decided by its content alone."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destseg import Error
from destseg.dataset.splits import SplitSettings, split

hashes = st.sets(st.binary(max_size=8).map(lambda b: hashlib.sha256(b).hexdigest()), min_size=60, max_size=90)


@given(hashes, hashes)
def test_new_images_move_no_old_one(old: set[str], new: set[str]) -> None:
    settings = SplitSettings(calibration_share=0.3)
    training, calibration = split(old, settings)
    later_training, later_calibration = split(old | new, settings)
    assert set(training) <= set(later_training)
    assert set(calibration) <= set(later_calibration)
    assert set(training).isdisjoint(calibration)
    assert set(training) | set(calibration) == old


def test_share_is_kept_over_many_images() -> None:
    many = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(5000)]
    _, calibration = split(many, SplitSettings(calibration_share=0.2))
    assert 0.18 < len(calibration) / len(many) < 0.22


def test_share_of_zero_trains_on_all() -> None:
    training, calibration = split(["00" * 32, "ff" * 32], SplitSettings(calibration_share=0))
    assert len(training) == 2
    assert calibration == []


def test_too_few_images_are_refused_with_the_counts() -> None:
    with pytest.raises(Error, match=r"1 normal images give 1 for training and 0 for calibration; add photographs"):
        split(["ff" * 32], SplitSettings())
