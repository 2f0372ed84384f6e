"""What both training stages start from: the accepted images and the textures, decoded once, on the device."""

import json
from dataclasses import asdict
from typing import Any, NamedTuple

import torch

from destseg import Error
from destseg.dataset import textures
from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import TEACHER
from destseg.model.device import device
from destseg.model.teacher import Teacher, load_teacher
from destseg.settings import read_section, read_seed
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded


class Start(NamedTuple):
    """The frozen teacher, the source of training batches, the seed and the device of one stage."""

    teacher: Teacher
    synthesis: Synthesis
    seed: int
    device: torch.device


def prepare(category: str, stage: str) -> Start:
    """From build/teacher.safetensors, build/<category>/accepted.json and params.yaml in the working directory."""
    on, seed = device(), read_seed()
    image = read_section("image", ImageSettings, category=category)
    accepted = read_accepted(category)
    images = load_all(accepted.paths(accepted.training), image).to(on)
    settings = read_section("synthesis", SynthesisSettings, category=category)
    side = settings.crop or image.size
    if side > image.size:
        raise Error(
            f"synthesis.crop of {category} is {side}, larger than image.size {image.size}; lower it or set it to null"
        )
    filling = textures.load(read_section("texture", textures.TextureSettings), side, seed).to(on)
    synthesis = Synthesis(images, filling, settings, seeded(seed, f"{category}/{stage}"))
    return Start(load_teacher(TEACHER)[0], synthesis, seed, on)


def record(category: str, **own: Any) -> dict[str, str]:
    """`settings`: the seed and the settings behind a stage's weights as JSON, to travel in their metadata.

    The report shows these, not params.yaml, which may have changed since or know nothing of imported weights.
    """
    sections = {
        "image": read_section("image", ImageSettings, category=category),
        "texture": read_section("texture", textures.TextureSettings),
        "synthesis": read_section("synthesis", SynthesisSettings, category=category),
        **own,
    }
    found = {"seed": read_seed(), **{name: asdict(section) for name, section in sections.items()}}
    return {"settings": json.dumps(found, default=str)}
