"""A folded network gives the scores of the network that it was made from."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from destseg.model.efficientnet_lite0 import SameConv
from destseg.model.fold import folded
from destseg.model.network import DeSTSeg


@pytest.mark.parametrize(
    "network",
    [lambda: DeSTSeg(16), lambda: DeSTSeg(16, network="compact", backbone="efficientnet-lite0")],
    ids=["paper", "compact"],
)
def test_a_folded_network_has_no_batchnorm_and_scores_alike(network: Callable[[], DeSTSeg]) -> None:
    torch.manual_seed(0)
    whole = network()
    for part in whole.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after a training
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
    found = folded(whole)
    assert not any(isinstance(part, nn.BatchNorm2d | SameConv) for part in found.modules())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        (scores, maps), (expected_scores, expected_maps) = found(images), whole.eval()(images)
    assert expected_maps.std() > 0.001
    assert torch.allclose(scores, expected_scores, rtol=0, atol=1e-5)
    assert torch.allclose(maps, expected_maps, rtol=0, atol=1e-5)


def test_the_network_itself_stays_as_it_is() -> None:
    network = DeSTSeg(8).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network)
    assert network.training
    assert network.segmentation is not None
    assert all(parameter.requires_grad for parameter in network.segmentation.parameters())
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
