"""A test set's metrics over all images and by defect type, from pixels sorted once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from destseg import Error
from destseg.dataset.layout import GOOD, Sample
from destseg.evaluation.metrics import evaluate_maps
from destseg.evaluation.scored import Scored

from .references import cases_by_kind


def scored(kinds, scores, maps, masks):
    samples = [Sample(path=Path("image.png"), split="test", kind=str(kind)) for kind in kinds]
    return Scored(samples=samples, scores=scores, maps=maps, masks=masks)


@settings(max_examples=150, deadline=None)
@given(cases_by_kind())
def test_each_defect_type_is_measured_as_if_alone_with_the_normal_images(case):
    kinds, scores, maps, masks = case
    found = scored(*case)
    whole = evaluate_maps(scores, maps, masks, kinds != GOOD)
    assert vars(found.metrics()) == pytest.approx(vars(whole), abs=1e-12, nan_ok=True)
    for kind in found.defect_types:
        chosen = (kinds == GOOD) | (kinds == kind)
        alone = evaluate_maps(scores[chosen], maps[chosen], masks[chosen], kinds[chosen] != GOOD)
        assert vars(found.metrics_of(kind)) == pytest.approx(vars(alone), abs=1e-12, nan_ok=True)


def test_without_images_every_metric_is_null():
    found = scored([], np.zeros(0), np.zeros((0, 4, 4)), np.zeros((0, 4, 4), dtype=bool))
    assert found.defect_types == []
    assert set(found.metrics().to_dict().values()) == {None}


def test_a_normal_image_with_a_mask_is_refused():
    with pytest.raises(Error, match="normal image"):
        scored([GOOD], np.zeros(1), np.zeros((1, 2, 2)), np.ones((1, 2, 2), dtype=bool)).metrics()
