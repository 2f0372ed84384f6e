"""Weight gradients of float32 convolutions by matrix products, for training on a processor.

In channels last, on AVX2, oneDNN computes them at 30 to 70 % of a matrix product's rate (docs/performance.md); the
sums are the same in another order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LEAST_CHANNELS = 128  # with fewer inputs oneDNN is as fast or faster
PART = 1 << 22  # values of the input copied at once: 16 MB, which processors hold in their caches
Pair = tuple[int, int]


class WeightGradients(TorchFunctionMode):
    """Inside this context convolutions of many channels take their weight gradients from matrix products."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # torch's
        if func is F.conv2d:
            x, weight, bias, shape, groups = _arguments(*args, **(kwargs or {}))
            learns = torch.is_grad_enabled() and weight.requires_grad
            if learns and bias is None and groups == 1 and weight.shape[1] >= LEAST_CHANNELS:
                return _Convolution.apply(x, weight, *shape)
        return func(*args, **(kwargs or {}))


def _arguments(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Any, list[Pair], int]:
    """F.conv2d's arguments, by its names; stride, padding and dilation as pairs."""
    shape = [(value, value) if isinstance(value, int) else tuple(value) for value in (stride, padding, dilation)]
    return input, weight, bias, shape, groups


class _Convolution(torch.autograd.Function):
    """F.conv2d without bias and groups, float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        # Not torch.nn.grad.conv2d_input, which hands over no x and so not its layout.
        shape = (None, *ctx.shape, False, (0, 0), 1, (True, False, False))
        wanted = ctx.needs_input_grad[0]
        of_x = torch.ops.aten.convolution_backward(gradient, x, weight, *shape)[0] if wanted else None
        return of_x, _of_weight(x, gradient, weight.shape, *ctx.shape), None, None, None


def _of_weight(x: Tensor, gradient: Tensor, shape: torch.Size, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """For each place of the kernel one product: all output gradients by the inputs that the place saw."""
    outputs, inputs, height, width = shape
    rows, columns = gradient.shape[2:]
    found = x.new_zeros(outputs, height, width, inputs)  # channels last, as the weight is
    some = max(1, PART // (inputs * rows * columns))
    for part, theirs in zip(x.split(some), gradient.split(some), strict=True):  # part: [some, C, H, W]
        padded = F.pad(part.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0]))
        flat = theirs.permute(0, 2, 3, 1).reshape(-1, outputs).t()
        for i in range(height):
            for j in range(width):
                top, left = i * dilation[0], j * dilation[1]
                down, right = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
                seen = padded[:, top : down : stride[0], left : right : stride[1]].reshape(-1, inputs)
                torch.addmm(found[:, i, j], flat, seen, out=found[:, i, j])
    return found.permute(0, 3, 1, 2)
