"""The denoising student: a ResNet18 encoder and its mirrored decoder, without skip connections (section 3.2)."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from destseg import Error
from destseg.model.blocks import kaiming_init, layer
from destseg.model.weights import load_weights, read_metadata, save_weights


class Encoder(nn.Module):
    """ResNet18 without its classifier: [B, 3, H, W] -> maps of 64, 128, 256 and 512 channels at 1/4 to 1/32.

    `deep=False` ends it after the third stage, where the teacher ends; the fourth map then is the third.
    """

    def __init__(self, *, deep: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = layer(64, 64)
        self.layer2 = layer(64, 128, stride=2)
        self.layer3 = layer(128, 256, stride=2)
        self.layer4 = layer(256, 512, stride=2) if deep else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = F.relu(F.max_pool2d(self.bn1(self.conv1(x)), 3, stride=2, padding=1))  # in this order a quarter of the ReLU
        level1 = self.layer1(x)
        level2 = self.layer2(level1)
        level3 = self.layer3(level2)
        return level1, level2, level3, self.layer4(level3)


class Student(nn.Module):
    """Rebuilds the teacher's three maps of the undamaged image from a damaged one.

    `encoder_decoder=False` is the ablation: the teacher's own stages, randomly initialised, as in STPM.
    """

    def __init__(self, *, encoder_decoder: bool = True) -> None:
        super().__init__()
        self.encoder_decoder = encoder_decoder
        self.encoder = Encoder(deep=encoder_decoder)
        if encoder_decoder:
            self.decoder_layer4 = layer(512, 512)
            self.decoder_layer3 = layer(512, 256)
            self.decoder_layer2 = layer(256, 128)
            self.decoder_layer1 = layer(128, 64)
        kaiming_init(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # x: [B, 3, H, W], normalised as for the teacher
        level1, level2, level3, deepest = self.encoder(x)
        if not self.encoder_decoder:
            return level1, level2, level3
        x = self.decoder_layer4(deepest)  # [B, 512, H/32, W/32]
        level3 = self.decoder_layer3(_double(x))  # [B, 256, H/16, W/16]
        level2 = self.decoder_layer2(_double(level3))  # [B, 128, H/8, W/8]
        level1 = self.decoder_layer1(_double(level2))  # [B, 64, H/4, W/4]
        return level1, level2, level3


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def save_student(path: Path, student: Student, metadata: Mapping[str, str] | None = None) -> None:
    """Its weights, and in their metadata, beside what is given, what it takes to build it anew."""
    save_weights(path, student, {**(metadata or {}), "encoder_decoder": str(student.encoder_decoder).lower()})


def load_student(path: Path) -> Student:
    """The student that `save_student` wrote; a file that does not say is of the paper's shape."""
    said = read_metadata(path).get("encoder_decoder", "true")
    if said not in ("true", "false"):
        raise Error(f"{path} says encoder_decoder {said!r}, expected true or false; run the stage `student` anew")
    student = Student(encoder_decoder=said == "true")
    load_weights(path, student)
    return student
