"""The scores without the segmentation net come from the same single pass of teacher and student."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from destseg.evaluation.dest import recording
from destseg.inference.scorer import TorchScorer
from destseg.model.network import dest, image_scores

from ..compact import NETWORKS, untrained


@pytest.fixture(scope="module", params=NETWORKS)
def scorer(request):
    torch.manual_seed(0)
    network = untrained(request.param).train()
    network(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))  # BatchNorm statistics that are not the initial
    return TorchScorer(network, torch.device("cpu"), batch=2)


IMAGES = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_they_are_those_of_teacher_and_student_alone_and_the_network_scores_as_ever(scorer):
    before = scorer.score(IMAGES)
    with recording(scorer.network) as found:
        during = scorer.score(IMAGES)
    for one, other in zip(before, during, strict=True):
        np.testing.assert_array_equal(one, other)
    scores, maps = found.joined(64)
    with torch.inference_mode():
        x = scorer.network.teacher.normalise(IMAGES)
        small = dest(scorer.network.teacher(x), scorer.network.student(x))
        expected = F.interpolate(small, (64, 64), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(maps, expected.numpy(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scores, image_scores(expected).numpy(), rtol=1e-3)
    assert (scores.dtype, maps.dtype) == (np.float64, np.float32)


def test_teacher_and_student_run_once_for_each_batch_and_nothing_is_recorded_afterwards(scorer):
    runs = []
    hooks = [
        part.register_forward_hook(lambda module, *_: runs.append(type(module).__name__))
        for part in (scorer.network.teacher, scorer.network.student)
    ]
    with recording(scorer.network) as found:
        scorer.score(IMAGES)
    assert sorted(runs) == [type(scorer.network.teacher).__name__] * 3 + ["Student"] * 3
    scorer.score(IMAGES)
    assert len(found.joined(64)[0]) == len(IMAGES)
    for hook in hooks:
        hook.remove()


def test_no_image_gives_empty_scores(scorer):
    with recording(scorer.network) as found:
        scorer.score(IMAGES[:0])
    scores, maps = found.joined(64)
    assert (scores.shape, maps.shape) == ((0,), (0, 64, 64))
