"""The segmentation net: where, and how far, student and teacher disagree becomes a mask (section 3.3)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg import Error
from destseg.model.blocks import kaiming_init, layer
from destseg.model.resnet18 import ResNet18
from destseg.model.similarity import Inputs
from destseg.model.weights import load_weights, read_metadata, save_weights

RATES = (6, 12, 18)  # dilations of the ASPP's 3x3 convolutions


def _conv(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: three dilated 3x3 convolutions beside the global mean, fused by a 3x3 one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooled = _conv(width, width, 1)
        self.dilated = nn.ModuleList(_conv(width, width, 3, rate) for rate in RATES)
        self.fuse = _conv((1 + len(RATES)) * width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        # x: [B, width, H, W]
        mean = self.pooled(x.mean((2, 3), keepdim=True))  # [B, width, 1, 1]
        dilated = torch.cat([branch(x) for branch in self.dilated], dim=1)
        # `fuse` takes the mean, spread over the image, before the dilated maps. What a convolution makes of a constant
        # need not be computed at every place: a quarter of its operations, 8 % of the whole net's.
        conv = self.fuse[0]
        assert isinstance(conv, nn.Conv2d)
        of_mean, of_dilated = conv.weight.tensor_split([mean.shape[1]], dim=1)
        fused = F.conv2d(dilated, of_dilated, conv.bias, padding=1) + _conv_of_constant(mean, of_mean, x.shape[-2:])
        for part in self.fuse[1:]:
            fused = part(fused)
        return fused


def _conv_of_constant(value: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """The 3x3 convolution, padded with zeros, of [B, C, H, W] maps that are `value` [B, C, 1, 1] at every place."""
    small = F.conv2d(value.expand(-1, -1, 3, 3), weight, padding=1)  # corners, edges and the middle: all that differs
    return _stretched(_stretched(small, 2, size[0]), 3, size[1])


def _stretched(x: Tensor, dim: int, length: int) -> Tensor:
    first, middle, last = x.split(1, dim)
    shape = list(x.shape)
    shape[dim] = length - 2
    return torch.cat([first, middle.expand(shape), last], dim)


class Segmentation(nn.Module):
    """`similarities` [B, 448, H/4, W/4] -> logits [B, 1, H/4, W/4]; `width` channels inside (the paper's is 256).

    `channels` are the teacher's, by level.
    """

    def __init__(
        self, width: int = 256, inputs: Inputs = "product", channels: tuple[int, ...] = ResNet18.channels
    ) -> None:
        super().__init__()
        self.width, self.inputs, self.channels = width, inputs, channels
        seen = {"product": sum(channels), "concatenated": 2 * sum(channels), "distances": len(channels)}
        self.res = layer(seen[inputs], width)
        kaiming_init(self.res)  # the head keeps torch's default: see `head_init` in training/segmentation.py
        self.head = nn.Sequential(ASPP(width), _conv(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, similarities: Tensor) -> Tensor:
        logits: Tensor = self.head(self.res(similarities))
        return logits


def save_segmentation(path: Path, segmentation: Segmentation | None, metadata: Mapping[str, str] | None = None) -> None:
    """Its weights, and in their metadata, beside what is given, what it takes to build it again; None: width 0."""
    if segmentation is None:
        save_weights(path, {}, {**(metadata or {}), "width": "0"})
    else:
        channels = ",".join(map(str, segmentation.channels))
        shape = {"width": str(segmentation.width), "inputs": segmentation.inputs, "channels": channels}
        save_weights(path, segmentation, {**(metadata or {}), **shape})


def load_segmentation(path: Path) -> Segmentation | None:
    """What `save_segmentation` wrote; None for a model without a segmentation net."""
    said = read_metadata(path)
    width = int(text) if (text := said.get("width", "")).isdecimal() and len(text) < 5 else -1
    inputs = next((known for known in get_args(Inputs) if known == said.get("inputs", "product")), None)
    channels = said.get("channels", ",".join(map(str, ResNet18.channels)))
    if width < 0 or inputs is None or not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3}){2}", channels):
        raise Error(
            f"{path} says {said}, expected a width, a known input and the channels of three levels; run the stage "
            "`segmentation` again"
        )
    if width == 0:
        return None
    segmentation = Segmentation(width, inputs, tuple(map(int, channels.split(","))))
    load_weights(path, segmentation)
    return segmentation
