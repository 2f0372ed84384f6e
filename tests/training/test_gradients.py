"""Gradients that are taken from elsewhere are those that torch computes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import profile

from destseg.model.segmentation import Segmentation
from destseg.training.gradients import LEAST_CHANNELS, FastGradients


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 6, 6), (3, 1, 18, 18), ((3, 1), (2, 1), (0, 2), 1)],
)
def test_gradients_are_torchs(kernel: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(LEAST_CHANNELS, 8, kernel, stride, padding, dilation, bias=False).double()
    x = torch.randn(2, LEAST_CHANNELS, 13, 10).double().to(memory_format=torch.channels_last).requires_grad_()
    expected = torch.autograd.grad((conv(x) ** 2).sum(), (x, conv.weight))
    with FastGradients(products=True):
        y = conv(x)
    assert y.grad_fn.name() == "_ConvolutionBackward"
    for one, other in zip(torch.autograd.grad((y**2).sum(), (x, conv.weight)), expected, strict=True):
        assert other.abs().max() > 0.05
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


DEPTHWISE = [(3, 1, 1), (5, 1, 2), (5, 1, 1), (3, 2, 0), (5, 2, 0), (3, 2, 1), (4, 2, 1), (5, (2, 1), 2)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride", "padding"), DEPTHWISE)
def test_depthwise_gradients_are_torchs(kernel: int, stride: int, padding: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 16, kernel, stride, padding, groups=16, bias=False).to(dtype)
    x = torch.randn(2, 16, 13, 10).to(dtype, memory_format=torch.channels_last).requires_grad_()
    exact = copy.deepcopy(conv).double()
    wide = x.detach().double().requires_grad_()
    y = exact(wide)
    gradient = torch.randn_like(y).to(dtype)
    expected = torch.autograd.grad(y, (wide, exact.weight), gradient.double())
    with FastGradients(products=False):
        y = conv(x)
    assert y.grad_fn.name() == "_DepthwiseBackward"
    found = torch.autograd.grad(y, (x, conv.weight), gradient)
    bound = 1e-12 if dtype == torch.float64 else 1e-2  # bfloat16 keeps 8 bits
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert (one.double() - other).abs().max() < bound * other.abs().max()


def test_autocast_is_kept() -> None:
    conv, x = nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False), torch.randn(1, 16, 8, 8)
    with FastGradients(products=False), torch.autocast("cpu", dtype=torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.dtype == torch.float32


def test_a_weight_alone_gets_its_gradient() -> None:
    conv = nn.Conv2d(LEAST_CHANNELS, 4, 3, bias=False)
    with FastGradients(products=True):
        conv(torch.randn(1, LEAST_CHANNELS, 5, 5)).sum().backward()
    assert conv.weight.grad is not None


def test_a_convolution_that_is_called_by_names_is_one_too() -> None:
    x, weight = torch.randn(1, LEAST_CHANNELS, 5, 5), torch.randn(4, LEAST_CHANNELS, 3, 3, requires_grad=True)
    with FastGradients(products=True):
        y = F.conv2d(input=x, weight=weight, padding=1, stride=(2, 1))
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "_ConvolutionBackward"
    assert torch.equal(y, F.conv2d(x, weight, padding=1, stride=(2, 1)))


def test_no_large_convolution_of_the_segmentation_net_is_left_out() -> None:
    net = Segmentation(LEAST_CHANNELS)
    with FastGradients(products=True), profile() as found:
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
    with FastGradients(products=True):
        y = conv(torch.randn(1, inputs, 5, 5))
        assert y.grad_fn is not None
        assert y.grad_fn.name() == "ConvolutionBackward0"
        with torch.no_grad():
            assert F.conv2d(torch.randn(1, LEAST_CHANNELS, 3, 3), torch.randn(1, LEAST_CHANNELS, 3, 3)).shape[-1] == 1
