"""The made-up test set of the benchmark, and how far the streamed metrics are from the exact ones on it."""

import numpy as np
import pytest

from destseg.bench.metrics import REGIONS, made_up, metrics
from destseg.dataset.layout import GOOD
from destseg.evaluation.pixels import instances


@pytest.mark.parametrize("size", [64, 128])
def test_every_second_image_has_its_regions_and_all_scores_are_probabilities(size):
    batches = list(made_up(120, size))
    assert sum(len(batch.kinds) for batch in batches) == 120
    for batch in batches:
        defective = batch.kinds != GOOD
        assert (defective == (np.arange(len(defective)) % 2 == 1)).all()
        assert instances(batch.masks).max() + 1 == REGIONS * defective.sum()
        assert not batch.masks[~defective].any()
        assert 0 < batch.maps.min() < batch.maps.max() < 1
    assert len({kind for batch in batches for kind in batch.kinds}) == 1 + 4


def test_streamed_and_exact_metrics_differ_by_what_the_guide_states():
    exact, streamed = metrics(images=100, size=128), metrics(images=100, size=128, streamed=True)
    assert exact.regions == streamed.regions == 150
    assert exact.by_type.keys() == streamed.by_type.keys()
    assert all(value is not None and 0 < value <= 1 for value in exact.metrics.values())
    assert streamed.metrics == pytest.approx(exact.metrics, abs=1e-4)
    for kind, found in streamed.by_type.items():
        assert found == pytest.approx(exact.by_type[kind], abs=1e-4)
    assert streamed.metrics["pixel_auroc"] == pytest.approx(exact.metrics["pixel_auroc"], abs=1e-6)
    assert streamed.metrics["pro"] == pytest.approx(exact.metrics["pro"], abs=1e-6)
    assert "150 regions, streamed" in str(streamed)
    assert streamed.peak_memory_mb > 50
