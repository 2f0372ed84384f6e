"""EfficientNet-Lite0 (Tan and Le 2019; "lite": ReLU6, no squeeze-excitation): a sixth of ResNet18's operations."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.backbone import Backbone, Maps

EPSILON = 1e-3  # of BatchNorm, as its weights were trained


class Stage(NamedTuple):
    """Inverted residual blocks in a row; the first has the stride and changes the channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    outputs: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM = 32
LEVELS = (2, 3, 5)  # how many stages make each of the three maps; the others are the deep ones


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: at stride 2 what is missing is added below and to the right only."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same convolution with a weight and a bias that were made of its own."""
        padding = self.kernel_size[0] // 2
        if self.stride[0] == 1:
            return F.conv2d(x, weight, bias, 1, padding, 1, self.groups)
        if torch.is_grad_enabled() and weight.requires_grad:  # weight gradients of even kernels are slow
            x = F.pad(x, (padding - 1, padding, padding - 1, padding))
            return F.conv2d(x, weight, bias, 2, 0, 1, self.groups)
        # A kernel with one more row and column of zeros at the top left, padded alike on all sides, sees the same;
        # it is smaller to copy than the image.
        return F.conv2d(x, F.pad(weight, (1, 0, 1, 0)), bias, 2, padding, 1, self.groups)

    def frozen(self) -> nn.Conv2d:
        """A convolution that sees the same, with its kernel as it is at last: an exported graph need not pad it."""
        pads = self.stride[0] - 1
        weight = F.pad(self.weight.detach(), (pads, 0, pads, 0))
        size, padding, biased = self.kernel_size[0] + pads, self.kernel_size[0] // 2, self.bias is not None
        plain = nn.Conv2d(
            self.in_channels, self.out_channels, size, self.stride[0], padding, groups=self.groups, bias=biased
        )
        plain.weight, plain.bias = nn.Parameter(weight), self.bias
        return plain


def conv_norm(x: Tensor, conv: SameConv, norm: nn.Module) -> Tensor:
    """Both in one convolution where the norm keeps its statistics, also while their parameters learn."""
    if norm.training or isinstance(norm, nn.Identity):  # Identity: folded for good (model/fold.py)
        normed: Tensor = norm(conv(x))
        return normed
    assert isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return conv.convolve(x, conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale)


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, 1x1 back; the input is added where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        if expansion != 1:
            self.expand = SameConv(inputs, inner, 1)
            self.bn0 = nn.BatchNorm2d(inner, EPSILON)
        self.depthwise = SameConv(inner, inner, kernel, stride, groups=inner)
        self.bn1 = nn.BatchNorm2d(inner, EPSILON)
        self.project = SameConv(inner, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs, EPSILON)
        self.expands, self.adds = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(conv_norm(x, self.expand, self.bn0), inplace=True) if self.expands else x
        y = F.relu6(conv_norm(y, self.depthwise, self.bn1), inplace=True)
        y = conv_norm(y, self.project, self.bn2)
        return x + y if self.adds else y


class EfficientNetLite0(Backbone):
    """Without its 1x1 convolution to 1,280 channels and its classifier; `deep` with stages 6 and 7."""

    name = "efficientnet-lite0"
    channels = (24, 40, 112)
    deepest_channels = 320
    mean = (127.0, 127.0, 127.0)
    std = (128.0, 128.0, 128.0)

    def __init__(self, *, deep: bool = False) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        self.bn = nn.BatchNorm2d(STEM, EPSILON)
        stages, inputs = [], STEM
        for stage in STAGES if deep else STAGES[: LEVELS[-1]]:
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.outputs, stage.kernel, stride, stage.expansion))
                inputs = stage.outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Maps:
        x = F.relu6(conv_norm(x, self.stem, self.bn), inplace=True)  # [B, 32, H/2, W/2]
        level1 = self.stages[: LEVELS[0]](x)  # [B, 24, H/4, W/4]
        level2 = self.stages[LEVELS[0] : LEVELS[1]](level1)  # [B, 40, H/8, W/8]
        level3 = self.stages[LEVELS[1] : LEVELS[2]](level2)  # [B, 112, H/16, W/16]
        return level1, level2, level3

    def deepest(self, level3: Tensor) -> Tensor:
        deepest: Tensor = self.stages[LEVELS[2] :](level3)
        return deepest
