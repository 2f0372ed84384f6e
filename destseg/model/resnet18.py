"""ResNet18 (He et al. 2016), the paper's backbone, under torchvision's parameter names."""

from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.backbone import Backbone, Maps
from destseg.model.blocks import layer


class ResNet18(Backbone):
    """Without its classifier; `deep` with its fourth stage."""

    name = "resnet18"
    channels = (64, 128, 256)  # of conv2_x, conv3_x, conv4_x
    deepest_channels = 512
    mean = (255 * 0.485, 255 * 0.456, 255 * 0.406)  # ImageNet's: what every source of its weights is trained with
    std = (255 * 0.229, 255 * 0.224, 255 * 0.225)

    def __init__(self, *, deep: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64)
        self.layer2 = layer(64, 128, stride=2)
        self.layer3 = layer(128, 256, stride=2)
        self.layer4 = layer(256, 512, stride=2) if deep else nn.Identity()

    def forward(self, x: Tensor) -> Maps:
        x = F.relu(F.max_pool2d(self.bn1(self.conv1(x)), 3, stride=2, padding=1))  # in this order a quarter of the ReLU
        level1 = self.layer1(x)  # [B, 64, H/4, W/4]
        level2 = self.layer2(level1)  # [B, 128, H/8, W/8]
        level3 = self.layer3(level2)  # [B, 256, H/16, W/16]
        return level1, level2, level3

    def deepest(self, level3: Tensor) -> Tensor:
        deepest: Tensor = self.layer4(level3)
        return deepest
