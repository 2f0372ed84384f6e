"""Heatmaps: one fixed colour range for all images, calm on good parts, the truth visible."""

import base64
import io

import numpy as np
from PIL import Image

from destseg.evaluation.figures import data_uri, overlay, triptych
from destseg.model.calibration import Calibration

CALIBRATION = Calibration(
    threshold=0.3,
    target_rate=0.01,
    provable_rate=0.02,
    confidence=0.95,
    images=150,
    heat_low=0.1,
    heat_high=0.4,
    scores=(0.2, 0.3),
)
PHOTOGRAPH = np.full((32, 32, 3), (90, 120, 60), dtype=np.uint8)
TRUTH = np.zeros((32, 32), dtype=bool)
TRUTH[8:16, 8:16] = True


def flat(value):
    return np.full((32, 32), value, dtype=np.float32)


def colour(value, calibration=CALIBRATION):
    return np.asarray(overlay(PHOTOGRAPH, flat(value), calibration))[0, 0].astype(int)


def test_a_map_at_the_calm_end_leaves_the_grey_photograph():
    grey = np.asarray(Image.fromarray(PHOTOGRAPH).convert("L"))[0, 0]
    assert colour(0.0).tolist() == colour(0.1).tolist() == [grey] * 3


def test_the_same_value_has_the_same_colour_whatever_else_the_map_holds():
    spread = flat(0.25)
    spread[20:] = 0.9
    assert np.asarray(overlay(PHOTOGRAPH, spread, CALIBRATION))[0, 0].tolist() == colour(0.25).tolist()


def test_colours_grow_redder_up_to_the_upper_end_and_no_further():
    redness = [int(r - b) for r, _, b in (colour(value) for value in (0.1, 0.15, 0.2, 0.3))]
    assert redness == sorted(set(redness))
    assert colour(0.4).tolist() == colour(5.0).tolist() != colour(0.3).tolist()


def test_without_calibration_the_range_is_zero_to_one():
    assert colour(1.0, None).tolist() == colour(0.4).tolist()
    assert colour(0.1, None).tolist() != colour(0.1).tolist()


def test_the_outline_of_the_truth_surrounds_it_and_hides_none_of_it():
    plain, outlined = (np.asarray(overlay(PHOTOGRAPH, flat(0.2), CALIBRATION, truth)) for truth in (None, TRUTH))
    changed = (plain != outlined).any(axis=2)
    assert changed.any()
    assert not (changed & TRUTH).any()
    assert changed[7, 8:16].all()


def test_a_triptych_shows_photograph_truth_and_heatmap_side_by_side():
    sheet = np.asarray(triptych(PHOTOGRAPH, TRUTH, flat(0.5), CALIBRATION))
    assert sheet.shape == (32, 3 * 32 + 2 * 6, 3)
    assert (sheet[:, :32] == PHOTOGRAPH).all()
    assert (sheet[:, 76:] == np.asarray(overlay(PHOTOGRAPH, flat(0.5), CALIBRATION))).all()
    assert (sheet[12, 38 + 12] != sheet[24, 38 + 24]).any()


def test_a_data_uri_holds_the_picture():
    head, _, body = data_uri(triptych(PHOTOGRAPH, TRUTH, flat(0.5), CALIBRATION)).partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).size == (108, 32)
