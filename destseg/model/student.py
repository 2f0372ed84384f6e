"""The denoising student: an encoder and a decoder that mirrors it, without skip connections (section 3.2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from destseg import Error
from destseg.model.backbone import Backbone, BackboneName, Maps
from destseg.model.blocks import kaiming_init, layer
from destseg.model.teacher import BACKBONES, new_backbone
from destseg.model.weights import load_weights, read_metadata, save_weights

Network = Literal["paper", "compact"]
DECODERS: dict[Network, tuple[int, int, int, int]] = {
    "paper": (512, 256, 128, 64),  # the encoder's own, mirrored
    "compact": (128, 128, 64, 32),
}
"""Channels of the decoder's layers, from 1/32 to 1/4 of the image."""


class Student(nn.Module):
    """Rebuilds the teacher's three maps of the undamaged image from a damaged one.

    The encoder of `paper` is ResNet18, whatever the teacher is; that of `compact` is the teacher's whole
    backbone, started from its weights by `start_from`. `encoder_decoder=False` is the ablation: the teacher's own
    stages, randomly initialised, as in STPM.
    """

    def __init__(
        self, backbone: BackboneName = "resnet18", *, network: Network = "paper", encoder_decoder: bool = True
    ) -> None:
        super().__init__()
        self.backbone, self.network, self.encoder_decoder = backbone, network, encoder_decoder
        if encoder_decoder:
            self.encoder = new_backbone("resnet18" if network == "paper" else backbone, deep=True)
            first, second, third, fourth = DECODERS[network]
            self.decoder_layer4 = layer(self.encoder.deepest_channels, first)
            self.decoder_layer3 = layer(first, second)
            self.decoder_layer2 = layer(second, third)
            self.decoder_layer1 = layer(third, fourth)
            self.heads = nn.ModuleList(map(_head, (fourth, third, second), BACKBONES[backbone].channels))
        else:
            self.encoder = new_backbone(backbone)
        kaiming_init(self)

    def forward(self, x: Tensor) -> Maps:
        # x: [B, 3, H, W], normalised as for the teacher
        level1, level2, level3 = self.encoder(x)
        if not self.encoder_decoder:
            return level1, level2, level3
        x = self.decoder_layer4(self.encoder.deepest(level3))  # [B, 512, H/32, W/32]; channels of the paper's
        level3 = self.decoder_layer3(_double(x))  # [B, 256, H/16, W/16]
        level2 = self.decoder_layer2(_double(level3))  # [B, 128, H/8, W/8]
        level1 = self.decoder_layer1(_double(level2))  # [B, 64, H/4, W/4]
        return self.heads[0](level1), self.heads[1](level2), self.heads[2](level3)

    def start_from(self, teacher: Backbone) -> None:
        """Gives the encoder the weights of a deep teacher."""
        self.encoder.load_state_dict(teacher.state_dict())


def _head(inputs: int, outputs: int) -> nn.Module:
    """What brings a map to the teacher's channels; nothing where it has as many."""
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def save_student(path: Path, student: Student, metadata: Mapping[str, str] | None = None) -> None:
    """Its weights, and in their metadata, beside what is given, what it takes to build it again."""
    shape = {
        "network": student.network,
        "backbone": student.backbone,
        "encoder_decoder": str(student.encoder_decoder).lower(),
    }
    save_weights(path, student, {**(metadata or {}), **shape})


def load_student(path: Path) -> Student:
    """The student that `save_student` wrote; a file that does not say is of the paper's shape."""
    said = {"network": "paper", "backbone": "resnet18", "encoder_decoder": "true"} | read_metadata(path)
    network = next((known for known in get_args(Network) if known == said["network"]), None)
    backbone = next((known for known in get_args(BackboneName) if known == said["backbone"]), None)
    if network is None or backbone is None or said["encoder_decoder"] not in ("true", "false"):
        shape = {name: said[name] for name in ("network", "backbone", "encoder_decoder")}
        raise Error(f"{path} says {shape}, expected a known shape; run the stage `student` again")
    student = Student(backbone, network=network, encoder_decoder=said["encoder_decoder"] == "true")
    load_weights(path, student)
    return student
