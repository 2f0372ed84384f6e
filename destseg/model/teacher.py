"""The teacher: a frozen backbone's first three maps (section 3.2). Where its weights come from: model/sources.py."""

from pathlib import Path
from typing import cast

import torch

from destseg import Error
from destseg.model.backbone import Backbone, BackboneName
from destseg.model.efficientnet_lite0 import EfficientNetLite0
from destseg.model.resnet18 import ResNet18
from destseg.model.weights import fill, read_weights

BACKBONES: dict[BackboneName, type[ResNet18] | type[EfficientNetLite0]] = {
    backbone.name: backbone for backbone in (ResNet18, EfficientNetLite0)
}


def new_backbone(name: BackboneName, *, deep: bool = False) -> Backbone:
    """A backbone with random weights."""
    return BACKBONES[name](deep=deep)


def new_teacher(name: BackboneName = "resnet18", *, deep: bool = False) -> Backbone:
    """A frozen backbone with random weights, to be filled."""
    teacher = new_backbone(name, deep=deep)
    teacher.freeze()
    return teacher


def load_teacher(path: Path, *, deep: bool = False) -> tuple[Backbone, dict[str, str]]:
    """The teacher that the stage `teacher` wrote, frozen, and its metadata.

    `deep` asks for the stages behind its three maps too, which a student's encoder starts from.
    """
    tensors, metadata = read_weights(path)
    name = cast(BackboneName, metadata.get("backbone", "resnet18"))  # files from before there were two do not say
    if name not in BACKBONES:
        raise Error(f"{path} says backbone {name!r}, expected {' or '.join(BACKBONES)}; run the stage `teacher` again")
    behind = deep_names(name)
    if deep and not behind <= tensors.keys():
        raise Error(
            f"{path} (source {metadata.get('source')}) has the first stages of {name} only, and student.network "
            "`compact` starts from a whole backbone; set teacher.source to `efficientnet-lite0`, or student.network to "
            "`paper`"
        )
    teacher = new_teacher(name, deep=deep)
    if not deep:
        tensors = {key: value for key, value in tensors.items() if key not in behind}
    fill(teacher, tensors, str(path))
    return teacher, metadata


def deep_names(name: BackboneName) -> set[str]:
    """The names of the weights that only a deep backbone has."""
    with torch.device("meta"):
        return set(BACKBONES[name](deep=True).state_dict()) - set(BACKBONES[name]().state_dict())
