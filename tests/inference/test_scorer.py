"""The scorer gives the network's own scores, in float32 closely and in bfloat16 roughly, whatever the batch."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from destseg.inference.scorer import Collected, TorchScorer, default_batch
from destseg.model.network import DeSTSeg

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture(scope="module", params=[8, 0], ids=["with a segmentation net", "without"])
def network(request: pytest.FixtureRequest) -> DeSTSeg:
    """Of random weights, with BatchNorm as after a training."""
    torch.manual_seed(0)
    network = DeSTSeg(request.param, encoder_decoder=False)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
    if network.segmentation is not None:
        network.segmentation.head[-1].weight.data *= 20  # maps that vary, as trained ones do
    return network.eval()


def test_float32_scores_are_those_of_the_network_itself(network: DeSTSeg) -> None:
    with torch.no_grad():
        expected_scores, expected_maps = network(IMAGES)
    scorer = TorchScorer(network, CPU, batch=2)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in scorer.network.modules())
    scores, maps = scorer.score(IMAGES)
    assert (scores.dtype, maps.dtype) == (np.float64, np.float32)
    assert expected_maps.std() > 0.001
    np.testing.assert_allclose(scores, expected_scores.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(maps, expected_maps.numpy(), rtol=0, atol=1e-5)


def test_bfloat16_scores_lie_beside_those_of_float32(network: DeSTSeg) -> None:
    exact, exact_maps = TorchScorer(network, CPU).score(IMAGES[:2])
    scores, maps = TorchScorer(network, CPU, precision="bfloat16").score(IMAGES[:2])
    assert (scores.dtype, maps.dtype) == (np.float64, np.float32)
    assert (maps != exact_maps).any()
    assert exact_maps.std() > 0.015
    np.testing.assert_allclose(scores, exact, rtol=0, atol=0.005)
    np.testing.assert_allclose(maps, exact_maps, rtol=0, atol=0.005)


def test_the_network_that_is_given_stays_as_it_is(network: DeSTSeg) -> None:
    learning = copy.deepcopy(network).train()
    before = {name: value.clone() for name, value in learning.state_dict().items()}
    TorchScorer(learning, CPU, precision="bfloat16").score(IMAGES[:1])
    assert learning.training
    after = learning.state_dict()
    assert all(torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items())


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_the_batch_changes_no_score(network: DeSTSeg, batch: int) -> None:
    expected_scores, expected_maps = TorchScorer(network, CPU, batch=3).score(IMAGES)
    scores, maps = TorchScorer(network, CPU, batch=batch).score(IMAGES)
    np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(maps, expected_maps, rtol=0, atol=1e-6)


def test_no_image_gives_empty_scores(network: DeSTSeg) -> None:
    scores, maps = TorchScorer(network, CPU).score(IMAGES[:0])
    assert (scores.shape, maps.shape) == ((0,), (0, 64, 64))


def test_what_is_collected_is_the_callers_own() -> None:
    found, reused = Collected(), torch.zeros(2, 4, 4)
    found.add(reused[:, 0, 0], reused)
    kept = found.joined(4)
    reused.fill_(1)
    found.add(reused[:, 0, 0], reused)
    assert kept[1].max() == 0
    scores, maps = found.joined(4)
    assert scores.tolist() == [0, 0, 1, 1]
    assert maps[:, 0, 0].tolist() == [0, 0, 1, 1]


def test_the_batch_suits_the_device_unless_one_is_given(network: DeSTSeg) -> None:
    assert TorchScorer(network, CPU).batch == default_batch(CPU)
    assert TorchScorer(network, CPU, batch=5).batch == 5
    assert default_batch(torch.device("cuda")) > default_batch(CPU)
