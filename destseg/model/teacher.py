"""The teacher: ResNet18 up to its third stage, frozen (section 3.2). Where its weights come from: model/sources.py."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.blocks import layer
from destseg.model.weights import load_weights

CHANNELS = (64, 128, 256)  # of the feature maps of conv2_x, conv3_x, conv4_x
MEAN = (0.485, 0.456, 0.406)  # ImageNet's, of RGB in [0, 1]: what every teacher source is trained with
STD = (0.229, 0.224, 0.225)


class Teacher(nn.Module):
    """ResNet18's conv1 to layer3, under torchvision's parameter names; always in eval mode, never with gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64)
        self.layer2 = layer(64, 128, stride=2)
        self.layer3 = layer(128, 256, stride=2)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Teacher":  # noqa: ARG002  # frozen: BatchNorm keeps its statistics
        return super().train(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # x: [B, 3, H, W], normalised with MEAN and STD
        x = F.relu(F.max_pool2d(self.bn1(self.conv1(x)), 3, stride=2, padding=1))  # in this order a quarter of the ReLU
        level1 = self.layer1(x)  # [B, 64, H/4, W/4]
        level2 = self.layer2(level1)  # [B, 128, H/8, W/8]
        level3 = self.layer3(level2)  # [B, 256, H/16, W/16]
        return level1, level2, level3


def load_teacher(path: Path) -> tuple[Teacher, dict[str, str]]:
    """The teacher that the stage `teacher` wrote, frozen, and its metadata."""
    teacher = Teacher()
    metadata = load_weights(path, teacher)
    return teacher, metadata


def normalise(images: Tensor) -> Tensor:
    """uint8 or float [B, 3, H, W] in 0..255 -> float, channels last, with ImageNet's mean and deviation."""
    # By plain numbers: tensors of them would have to be copied to a GPU, which would have to be waited for.
    planes = [(images[:, i].float() - 255 * MEAN[i]) * (1 / (255 * STD[i])) for i in range(3)]
    return torch.stack(planes, dim=3).permute(0, 3, 1, 2)
