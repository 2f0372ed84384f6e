"""A folded network gives the scores of the network that it was made from."""

import torch
from torch import nn

from destseg.model.fold import folded
from destseg.model.network import DeSTSeg


def test_a_folded_network_has_no_batchnorm_and_scores_alike() -> None:
    torch.manual_seed(0)
    network = DeSTSeg(16)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after a training
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
    found = folded(network)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in found.modules())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.no_grad():
        (scores, maps), (expected_scores, expected_maps) = found(images), network.eval()(images)
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
