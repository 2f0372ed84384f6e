"""The segmentation net: where, and how far, student and teacher disagree becomes a mask (section 3.3)."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from destseg import Error
from destseg.model.blocks import kaiming_init, layer
from destseg.model.similarity import Inputs
from destseg.model.teacher import CHANNELS
from destseg.model.weights import load_weights, read_metadata, save_weights

INPUT_CHANNELS: dict[Inputs, int] = {
    "product": sum(CHANNELS),
    "concatenated": 2 * sum(CHANNELS),
    "distances": len(CHANNELS),
}
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
        mean = self.pooled(x.mean((2, 3), keepdim=True)).expand_as(x)
        fused: Tensor = self.fuse(torch.cat([mean, *(branch(x) for branch in self.dilated)], dim=1))
        return fused


class Segmentation(nn.Module):
    """`similarities` [B, 448, H/4, W/4] -> logits [B, 1, H/4, W/4]; `width` channels inside (the paper's is 256)."""

    def __init__(self, width: int = 256, inputs: Inputs = "product") -> None:
        super().__init__()
        self.width, self.inputs = width, inputs
        self.res = layer(INPUT_CHANNELS[inputs], width)
        kaiming_init(self.res)  # the head keeps torch's default: see `head_init` in training/segmentation.py
        self.head = nn.Sequential(ASPP(width), _conv(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, similarities: Tensor) -> Tensor:
        logits: Tensor = self.head(self.res(similarities))
        return logits


def save_segmentation(path: Path, segmentation: Segmentation | None, metadata: Mapping[str, str] | None = None) -> None:
    """Its weights, and in their metadata, beside what is given, what it takes to build it anew; None: width 0."""
    if segmentation is None:
        save_weights(path, {}, {**(metadata or {}), "width": "0"})
    else:
        shape = {"width": str(segmentation.width), "inputs": segmentation.inputs}
        save_weights(path, segmentation, {**(metadata or {}), **shape})


def load_segmentation(path: Path) -> Segmentation | None:
    """What `save_segmentation` wrote; None for a model without a segmentation net."""
    said = read_metadata(path)
    width = int(text) if (text := said.get("width", "")).isdecimal() and len(text) < 5 else -1
    inputs = next((known for known in get_args(Inputs) if known == said.get("inputs", "product")), None)
    if width < 0 or inputs is None:
        raise Error(f"{path} says width and inputs {said}, expected a number and a known input; train it anew")
    if width == 0:
        return None
    segmentation = Segmentation(width, inputs)
    load_weights(path, segmentation)
    return segmentation
