"""EfficientNet-Lite0 (Tan and Le 2019; "lite": ReLU6, no squeeze-excitation): a sixth of ResNet18's operations."""

from typing import NamedTuple

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
        padding = self.kernel_size[0] // 2
        if self.stride[0] == 1:
            return F.conv2d(x, self.weight, self.bias, 1, padding, 1, self.groups)
        x = F.pad(x, (padding - 1, padding, padding - 1, padding))
        return F.conv2d(x, self.weight, self.bias, 2, 0, 1, self.groups)

    def frozen(self) -> nn.Conv2d:
        """A convolution that sees the same without padding the image first, for networks that no longer learn.

        A kernel with one more row and column of zeros at the top left is padded alike on all sides. Weight gradients of
        such even kernels would be slow.
        """
        more = self.stride[0] - 1
        plain = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size[0] + more,
            self.stride[0],
            self.kernel_size[0] // 2,
            groups=self.groups,
            bias=self.bias is not None,
        )
        plain.weight, plain.bias = nn.Parameter(F.pad(self.weight.detach(), (more, 0, more, 0))), self.bias
        return plain


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
        y: Tensor = F.relu6(self.bn0(self.expand(x)), inplace=True) if self.expands else x
        y = F.relu6(self.bn1(self.depthwise(y)), inplace=True)
        y = self.bn2(self.project(y))
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
        x = F.relu6(self.bn(self.stem(x)), inplace=True)  # [B, 32, H/2, W/2]
        level1 = self.stages[: LEVELS[0]](x)  # [B, 24, H/4, W/4]
        level2 = self.stages[LEVELS[0] : LEVELS[1]](level1)  # [B, 40, H/8, W/8]
        level3 = self.stages[LEVELS[1] : LEVELS[2]](level2)  # [B, 112, H/16, W/16]
        return level1, level2, level3

    def deepest(self, level3: Tensor) -> Tensor:
        deepest: Tensor = self.stages[LEVELS[2] :](level3)
        return deepest
