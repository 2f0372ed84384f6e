"""Gradients of convolutions in other ways than torch's own, where those are slow on a processor (docs/performance.md).

Weight gradients of many channels in float32: in channels last, on AVX2, oneDNN computes them at 30 to 70 % of a matrix
product's rate. Gradients of depthwise convolutions: for kernels other than 3x3, and in bfloat16 for strides, oneDNN has
its plain reference code only, up to thirty times slower. The sums are the same in another order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LEAST_CHANNELS = 128  # with fewer inputs oneDNN is as fast or faster
PART = 1 << 22  # values of the input copied at once: 16 MB, which processors hold in their caches
Pair = tuple[int, int]
Shape = tuple[Pair, Pair, Pair]  # stride, padding, dilation


class FastGradients(TorchFunctionMode):
    """Inside this context convolutions whose gradients are slow take them from elsewhere.

    `products`: weight gradients of convolutions of many channels by matrix products; depthwise ones always.
    """

    def __init__(self, *, products: bool) -> None:
        super().__init__()
        self.products = products

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # torch's
        if func is F.conv2d:
            x, weight, bias, shape, groups = _arguments(*args, **(kwargs or {}))
            if torch.is_grad_enabled() and weight.requires_grad:
                depthwise = groups == weight.shape[0] > 1 and weight.shape[1] == 1
                many = self.products and groups == 1 and weight.shape[1] >= LEAST_CHANNELS
                if bias is None and (depthwise or many):
                    return _applied(_Depthwise if depthwise else _Convolution, x, weight, shape)
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


def _applied(function: Any, x: Tensor, weight: Tensor, shape: list[Pair]) -> Tensor:
    """The function as autocast would call it: in its type, where it is on."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    with torch.autocast("cpu", enabled=False):
        found: Tensor = function.apply(x, weight, *shape)
    return found


def _backward(shape: Shape, gradient: Tensor, x: Tensor, weight: Tensor, groups: int, wanted: tuple[bool, bool]) -> Any:
    """Torch's own gradients of input and weight, those that are wanted."""
    # Not torch.nn.grad's, which hand over no input and so not its layout.
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, *shape, False, (0, 0), groups, (*wanted, False)
    )[:2]


class _Depthwise(torch.autograd.Function):
    """F.conv2d without bias, with one group for each channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = ctx.shape
        if stride != (1, 1) and x.dtype == torch.bfloat16:  # no fast code: as the convolution whose other outputs go
            gradient, stride = _spread(gradient, x, weight, ctx.shape), (1, 1)
        shape = stride, padding, dilation
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _backward(shape, gradient, x, weight, len(weight), (True, False))[0]
        if ctx.needs_input_grad[1] and weight.shape[-2:] == (5, 5) and shape == ((1, 1), padding, (1, 1)):
            of_weight = _of_5x5(gradient, x, weight, padding)
        elif ctx.needs_input_grad[1]:
            of_weight = _backward(shape, gradient, x, weight, len(weight), (False, True))[1]
        return of_x, of_weight, None, None, None


def _spread(gradient: Tensor, x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """The gradient of a convolution with a stride as that of the same one without: zeros in between."""
    stride, padding, dilation = shape
    sides = [x.shape[2 + i] + 2 * padding[i] - dilation[i] * (weight.shape[2 + i] - 1) for i in (0, 1)]
    found = gradient.new_zeros(gradient.shape[0], *sides, gradient.shape[1]).permute(0, 3, 1, 2)
    found[:, :, :: stride[0], :: stride[1]] = gradient
    return found


def _of_5x5(gradient: Tensor, x: Tensor, weight: Tensor, padding: Pair) -> Tensor:
    """The weight gradient of a depthwise 5x5 convolution from those of the four 3x3 ones that it is made of."""
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    rows, columns = gradient.shape[2] + 2, gradient.shape[3] + 2
    shape, found = ((1, 1), (0, 0), (1, 1)), torch.empty_like(weight)
    for top in (0, 2):
        for left in (0, 2):
            part = padded[:, :, top : top + rows, left : left + columns].contiguous(memory_format=torch.channels_last)
            inner = weight[:, :, top : top + 3, left : left + 3]
            found[:, :, top : top + 3, left : left + 3] = _backward(
                shape, gradient, part, inner, len(weight), (False, True)
            )[1]
    return found


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
        of_x = _backward(ctx.shape, gradient, x, weight, 1, (True, False))[0] if ctx.needs_input_grad[0] else None
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
