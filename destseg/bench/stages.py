"""The two networks as the bench trains them: random weights, and of their presets what decides the cost."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from destseg.dataset.images import ImageSettings, load_all
from destseg.model.backbone import Backbone, BackboneName
from destseg.model.blocks import kaiming_init
from destseg.model.device import Precision
from destseg.model.student import Network, Student
from destseg.model.teacher import new_teacher
from destseg.training import loop, segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

WIDTHS: dict[Network, int] = {"paper": 256, "compact": 48}
"""Channels of the segmentation net, unless another is asked for."""
PATCHES: dict[Network, int] = {"paper": 0, "compact": 2000}
"""Of the memory."""
BACKBONES: dict[Network, BackboneName] = {"paper": "resnet18", "compact": "efficientnet-lite0"}
STUDENT: dict[Network, StudentSettings] = {
    "paper": StudentSettings(),
    "compact": StudentSettings(
        network="compact",
        reduction="mean",
        steps=1050,
        optimiser="adamw",
        lr=0.002,
        encoder_lr_share=0.3,
        schedule="cosine",
    ),
}
SEGMENTATION: dict[Network, SegmentationSettings] = {
    "paper": SegmentationSettings(),
    "compact": SegmentationSettings(
        prior=0.05, width=48, steps=1050, optimiser="adamw", lr_res=0.002, lr_head=0.002, schedule="cosine"
    ),
}
OWN_SHARE: dict[Network, float] = {"paper": 0.0, "compact": 0.5}


def networks(network: Network) -> tuple[Backbone, Student]:
    """Teacher and student, not trained; what the layers compute stays within the range that photographs give."""
    teacher = new_teacher(BACKBONES[network], deep=network == "compact")
    kaiming_init(teacher)
    learner = Student(BACKBONES[network], network=network)
    if network == "compact":
        learner.start_from(teacher)
    return teacher, learner


def pictures(folder: Path, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal images and textures that `write_pictures` wrote, on the device."""
    normal, textures = (
        load_all(sorted((folder / name).iterdir()), ImageSettings(size=size)).to(device)
        for name in ("normal", "textures")
    )
    return normal, textures


def stages(
    network: Network, source: tuple[torch.Tensor, torch.Tensor], *, batch: int, width: int, precision: Precision
) -> list[Callable[[], loop.Training]]:
    """Both stages on these pictures, each made again at every call, at the preset's length."""
    settings = SynthesisSettings(quarter_turns=True, max_degrees=5, own_share=OWN_SHARE[network])
    synthesis = Synthesis(*source, settings, seeded(0, "bench"))
    teacher, frozen = networks(network)
    first = replace(STUDENT[network], batch=batch, precision=precision)
    second = replace(SEGMENTATION[network], batch=batch, precision=precision, width=width)
    return [
        lambda: student.prepared(teacher, synthesis, first, seed=0)[1],
        lambda: segmentation.prepared(teacher, frozen, synthesis, second, seed=0)[1],
    ]


def step(training: loop.Training) -> None:
    """One step on freshly drawn and damaged images."""
    training.step(training.synthesis.batch(training.batch))
