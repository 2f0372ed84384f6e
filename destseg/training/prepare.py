"""What both training stages start from: the accepted images and the textures, decoded once, on the device."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from destseg import Error
from destseg.dataset import textures
from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import TEACHER, build_dir
from destseg.dataset.store import mapped, stored
from destseg.files import sha256
from destseg.model.backbone import Backbone
from destseg.model.device import device, has_bfloat16, tune
from destseg.model.teacher import load_teacher
from destseg.settings import read_environment, read_section, read_seed
from destseg.training import parallel
from destseg.training.accelerate import CompileSettings
from destseg.training.checkpoint import Checkpoint, checkpoint
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded


class Start(NamedTuple):
    """The frozen teacher, the source of training batches, and what belongs to one run of a stage."""

    teacher: Backbone
    synthesis: Synthesis
    seed: int
    checkpoint: Checkpoint | None
    record: dict[str, str]
    """See `record`."""


@contextmanager
def started(
    category: str, stage: str, own: Any, *before: Path, deep: bool = False, deterministic: bool = False
) -> Iterator[Start]:
    """From teacher and accepted.json in build/<category>/ and params.yaml in the working directory.

    `own` are the stage's own settings, `before` the weights that it starts from; `deep` asks for the whole teacher.
    """
    with parallel.joined(device()) as on:
        tune(on, deterministic=deterministic)
        seed, said = read_seed(), record(category, **{stage: own})
        image = read_section("image", ImageSettings, category=category)
        settings = read_section("synthesis", SynthesisSettings, category=category)
        side = settings.crop or image.size
        if side > image.size:
            raise Error(
                f"synthesis.crop of {category} is {side}, larger than image.size {image.size}; lower it or set it to "
                "null"
            )
        accepted = read_accepted(category)
        read = partial(stored, device=on, folder=build_dir(category))
        images = read(accepted.paths(accepted.training), image)
        filling = textures.load(read_section("texture", textures.TextureSettings), side, seed, read)
        filling = filling if mapped(filling) else filling.to(on)
        source = Synthesis(
            images, filling, settings, seeded(seed, f"{category}/{stage}"), device=on, share=parallel.share()
        )
        teacher = build_dir(category) / TEACHER
        inputs = {
            "device": on.type,
            # What `auto` becomes is measured, and stands in the state itself; here is what it can become.
            "bfloat16": own.precision == "auto" and has_bfloat16(on),
            "compile": read_environment(CompileSettings).compile,
            "processes": parallel.share()[1],
            "deterministic": deterministic,
            "settings": said["settings"],
            "images": accepted.training,
            "textures": hashlib.sha256(filling.cpu().numpy().data).hexdigest(),
            "weights": [sha256(path) for path in (teacher, *before)],
        }
        with checkpoint(f"{category}-{stage}", inputs) as saved:
            yield Start(load_teacher(teacher, deep=deep)[0], source, seed, saved, said)


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
