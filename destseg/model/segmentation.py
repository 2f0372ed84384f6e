"""The segmentation net: where, and how far, student and teacher disagree becomes a mask (section 3.3)."""

import torch
from torch import Tensor, nn

from destseg.model.blocks import kaiming_init, layer
from destseg.model.teacher import CHANNELS

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
    """[B, 448, H/4, W/4] of similarities -> logits [B, 1, H/4, W/4]; `width` channels inside (the paper's is 256)."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.width = width
        self.res = layer(sum(CHANNELS), width)
        kaiming_init(self.res)  # the head keeps torch's default, as in the public code
        self.head = nn.Sequential(ASPP(width), _conv(width, width, 3), nn.Conv2d(width, 1, 1))

    def forward(self, similarities: Tensor) -> Tensor:
        logits: Tensor = self.head(self.res(similarities))
        return logits
