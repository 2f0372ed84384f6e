"""A calibration survives its JSON unchanged, and a damaged one is refused with a clear sentence."""

import json

import pytest

from destseg import Error
from destseg.model.calibration import Calibration

FOUND = Calibration(
    threshold=0.3,
    target_rate=0.01,
    provable_rate=0.02,
    confidence=0.95,
    images=150,
    heat_low=0.1,
    heat_high=0.4,
    scores=(0.2, 0.25, 0.3),
)


def test_it_survives_json():
    assert Calibration.from_dict(json.loads(json.dumps(FOUND.to_dict()))) == FOUND


def test_a_score_at_the_threshold_is_good_and_one_above_is_defective():
    assert not FOUND.is_anomalous(0.3)
    assert FOUND.is_anomalous(0.3000001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan, expected a finite number"),
        ({"threshold": "0.3"}, "threshold is '0.3', expected a finite number"),
        ({"threshold": True}, "threshold is True"),
        ({"confidence": 95}, "confidence is 95"),
        ({"images": 0}, "images is 0"),
        ({"images": 1.5}, "images is 1.5"),
        ({"heat_high": 0.1}, "heat_low is 0.1, expected less than heat_high"),
        ({"colour": 1}, "colour is unknown"),
        ({"scores": [0.1] * 151}, "151 scores of 150 images"),
        ({"scores": [0.1] * 1025, "images": 5000}, "1025 scores of 5000 images, expected at most 1024"),
        ({"scores": [0.3, 0.2]}, "the scores do not ascend"),
        ({"scores": [0.1, float("inf")]}, "a score is inf, expected a finite number"),
        ({"scores": ["0.1"]}, "a score is '0.1'"),
        ({"scores": 0.1}, "scores is float, expected a list of numbers"),
    ],
)
def test_a_wrong_field_is_named(change, message):
    with pytest.raises(Error, match=message):
        Calibration.from_dict(FOUND.to_dict() | change)


def test_a_missing_field_and_another_type_are_named():
    content = FOUND.to_dict()
    del content["threshold"]
    with pytest.raises(Error, match="threshold is missing"):
        Calibration.from_dict(content)
    with pytest.raises(Error, match="calibration is list"):
        Calibration.from_dict([])
