"""Weight gradients from matrix products are those that torch computes."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import profile

from destseg.model.segmentation import Segmentation
from destseg.training.gradients import LEAST_CHANNELS, WeightGradients


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 6, 6), (3, 1, 18, 18), ((3, 1), (2, 1), (0, 2), 1)],
)
def test_gradients_are_torchs(kernel: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(LEAST_CHANNELS, 8, kernel, stride, padding, dilation, bias=False).double()
    x = torch.randn(2, LEAST_CHANNELS, 13, 10).double().to(memory_format=torch.channels_last).requires_grad_()
    expected = torch.autograd.grad((conv(x) ** 2).sum(), (x, conv.weight))
    with WeightGradients():
        y = conv(x)
    assert y.grad_fn.name() == "_ConvolutionBackward"
    for one, other in zip(torch.autograd.grad((y**2).sum(), (x, conv.weight)), expected, strict=True):
        assert other.abs().max() > 0.05
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_a_weight_alone_gets_its_gradient() -> None:
    conv = nn.Conv2d(LEAST_CHANNELS, 4, 3, bias=False)
    with WeightGradients():
        conv(torch.randn(1, LEAST_CHANNELS, 5, 5)).sum().backward()
    assert conv.weight.grad is not None


def test_a_convolution_that_is_called_by_names_is_one_too() -> None:
    x, weight = torch.randn(1, LEAST_CHANNELS, 5, 5), torch.randn(4, LEAST_CHANNELS, 3, 3, requires_grad=True)
    with WeightGradients():
        y = F.conv2d(input=x, weight=weight, padding=1, stride=(2, 1))
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "_ConvolutionBackward"
    assert torch.equal(y, F.conv2d(x, weight, padding=1, stride=(2, 1)))


def test_no_large_convolution_of_the_segmentation_net_is_left_out() -> None:
    net = Segmentation(LEAST_CHANNELS)
    with WeightGradients(), profile() as found:
        net(torch.randn(2, 448, 16, 16)).sum().backward()
    ours = [event.count for event in found.key_averages() if event.key == "_ConvolutionBackward"]
    wide = [part for part in net.modules() if isinstance(part, nn.Conv2d) and part.bias is None]
    assert ours == [len(wide) + 1]  # the ASPP's last one is computed in two parts


@pytest.mark.parametrize(
    ("inputs", "options"),
    [(LEAST_CHANNELS // 2, {}), (LEAST_CHANNELS, {"bias": True}), (LEAST_CHANNELS, {"groups": 2})],
)
def test_what_it_is_not_made_for_is_torchs_own(inputs: int, options: dict[str, int]) -> None:
    conv = nn.Conv2d(inputs, 8, 3, **{"bias": False, **options})
    with WeightGradients():
        y = conv(torch.randn(1, inputs, 5, 5))
        assert y.grad_fn is not None
        assert y.grad_fn.name() != "_ConvolutionBackward"
        with torch.no_grad():
            assert F.conv2d(torch.randn(1, LEAST_CHANNELS, 3, 3), torch.randn(1, LEAST_CHANNELS, 3, 3)).shape[-1] == 1
