"""What a network trained on ImageNet gives: three maps for the teacher, and for a student's encoder a fourth."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

BackboneName = Literal["resnet18", "efficientnet-lite0"]
Maps = tuple[Tensor, Tensor, Tensor]


class Backbone(nn.Module, ABC):
    """Images [B, 3, H, W] as `normalise` gives them -> maps at 1/4, 1/8 and 1/16 of `channels` channels.

    `deep` ones also have the stages behind these: `deepest`, which takes the third map to 1/32.
    """

    name: ClassVar[BackboneName]
    channels: ClassVar[tuple[int, int, int]]
    deepest_channels: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]]
    """Of RGB in 0..255, as in the training of its weights."""
    std: ClassVar[tuple[float, float, float]]

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    def freeze(self) -> None:
        """Makes it a teacher: no gradients, and BatchNorm keeps its statistics whatever `train` is told."""
        self.frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self.frozen)

    @abstractmethod
    def forward(self, x: Tensor) -> Maps: ...

    @abstractmethod
    def deepest(self, level3: Tensor) -> Tensor:
        """The third map [B, C, H/16, W/16] -> [B, deepest_channels, H/32, W/32], where `deep`."""

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 or float [B, 3, H, W] in 0..255 -> float, channels last."""
        # By plain numbers: tensors of them would have to be copied to a GPU, which would have to be waited for.
        planes = [(images[:, i].float() - self.mean[i]) * (1 / self.std[i]) for i in range(3)]
        return torch.stack(planes, dim=3).permute(0, 3, 1, 2)
