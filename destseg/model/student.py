"""The denoising student: a ResNet18 encoder and its mirrored decoder, without skip connections (section 3.2)."""

from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.blocks import kaiming_init, layer


class Encoder(nn.Module):
    """ResNet18 without its classifier: [B, 3, H, W] -> [B, 512, H/32, W/32]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64)
        self.layer2 = layer(64, 128, stride=2)
        self.layer3 = layer(128, 256, stride=2)
        self.layer4 = layer(256, 512, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features


class Student(nn.Module):
    """Rebuilds the teacher's three maps of the undamaged image from a damaged one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder_layer4 = layer(512, 512)
        self.decoder_layer3 = layer(512, 256)
        self.decoder_layer2 = layer(256, 128)
        self.decoder_layer1 = layer(128, 64)
        kaiming_init(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # x: [B, 3, H, W], normalised as for the teacher
        x = self.decoder_layer4(self.encoder(x))  # [B, 512, H/32, W/32]
        level3 = self.decoder_layer3(_double(x))  # [B, 256, H/16, W/16]
        level2 = self.decoder_layer2(_double(level3))  # [B, 128, H/8, W/8]
        level1 = self.decoder_layer1(_double(level2))  # [B, 64, H/4, W/4]
        return level1, level2, level3


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
