"""How long both stages of a preset train on this machine, by a few steps of each on noise."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from destseg.bench.machine import timed
from destseg.dataset.images import ImageSettings
from destseg.model.backbone import BackboneName
from destseg.model.device import Precision, device, dtype_of, tune
from destseg.model.machine import name
from destseg.model.sources import TeacherSettings
from destseg.model.teacher import new_teacher
from destseg.presets.preset import OWN, Preset, load, names, of
from destseg.settings import PARAMS, read_section
from destseg.text import about
from destseg.training import loop, segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

BUDGET_S = 2.0  # for each stage, on a processor, where one step of the paper's can take longer than all of them
GROWTH = 4
TIMED = 3  # steps of one size at most, of which the fastest counts: other processes take time, and never give any
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds that the training of a category takes on this machine, by preset; its own settings too, if it has any."""

    device: str
    seconds: dict[str, float]

    def __str__(self) -> str:
        times = ", ".join(f"{preset} {about(seconds)}" for preset, seconds in self.seconds.items())
        how = "judged by a few steps just now, beside whatever else runs"
        return f"Training on this machine ({self.device}), {how}: {times}."


class Recipe(NamedTuple):
    """What decides how long a training takes."""

    size: int
    teacher: TeacherSettings
    synthesis: SynthesisSettings
    student: StudentSettings
    segmentation: SegmentationSettings


def estimate(category: str, *, root: Path = Path()) -> Estimate:
    """Of each preset at the category's image size and crop, with what else params.yaml says of it."""
    on, path = device(), root / PARAMS
    tune(on)
    wanted: list[Preset | None] = [load(preset) for preset in names()]
    if of(category, root=root) == OWN:
        wanted.append(None)
    found = {preset.name if preset else OWN: seconds(recipe(preset, category, path), on) for preset in wanted}
    return Estimate(device=name(on), seconds={preset: round(taken, 1) for preset, taken in found.items()})


def recipe(preset: Preset | None, category: str | None, path: Path) -> Recipe:
    """The category's settings in `path`, with those of the preset in their places."""

    def read(section: str, into: type[T]) -> T:
        own = read_section(section, into, category=category, path=path)
        if preset is None:
            return own
        theirs = read_section(section, into, path=preset.path)
        return replace(own, **{name: getattr(theirs, name) for name in preset.sections[section]})  # type: ignore[type-var]  # T is a dataclass

    return Recipe(
        read_section("image", ImageSettings, category=category, path=path).size,
        read("teacher", TeacherSettings),
        read("synthesis", SynthesisSettings),
        read("student", StudentSettings),
        read("segmentation", SegmentationSettings),
    )


def seconds(recipe: Recipe, on: torch.device) -> float:
    """Of all steps of both stages, in the precision that they would take; nothing is read, downloaded or written."""
    side = recipe.synthesis.crop or recipe.size
    settings = replace(recipe.synthesis, crop=None)  # a crop costs what an image of its size does
    backbone: BackboneName = "efficientnet-lite0" if recipe.teacher.source == "efficientnet-lite0" else "resnet18"
    compact = recipe.student.network == "compact"
    teacher = new_teacher(backbone, deep=compact)

    def decided(precision: Precision) -> Precision:
        """Trying the paper's stages, as a training does, would take seconds; they are made of what `dtype_of` tries."""
        if precision == "auto" and not compact:
            return "bfloat16" if dtype_of("auto", on) == torch.bfloat16 else "float32"
        return precision

    first_settings = replace(recipe.student, precision=decided(recipe.student.precision))
    second_settings = replace(recipe.segmentation, precision=decided(recipe.segmentation.precision))
    learner, first = student.prepared(teacher, noise(side if compact else 64, settings, on), first_settings, seed=0)
    taken = first.steps * seconds_of_step(first, side)
    if recipe.segmentation.net:
        frozen = learner.eval()
        second = segmentation.prepared(teacher, frozen, first.synthesis, second_settings, seed=0)[1]
        taken += second.steps * seconds_of_step(second, side)
    return taken


def seconds_of_step(training: loop.Training, side: int) -> float:
    """Of `training.batch` images of `side` pixels; on a processor by steps of fewer, smaller ones, as time allows."""
    on, settings, start = training.synthesis.device, training.synthesis.settings, time.perf_counter()
    sizes = [(side, training.batch)] if on.type == "cuda" else growing(side, training.batch)
    points: list[tuple[int, float]] = []
    for pixels, images in sizes:
        source = noise(pixels, settings, on)

        def step(source: Synthesis = source, images: int = images) -> None:
            training.step(source.batch(images))

        begin, taken = time.perf_counter(), [timed(step, on)]  # this one warms up
        while len(taken) < 2 or (len(taken) <= TIMED and time.perf_counter() - begin < BUDGET_S / 4):
            taken.append(timed(step, on))
        points.append((pixels**2 * images, min(taken[1:])))
        if len(points) > 1 and time.perf_counter() - start + 2 * GROWTH * points[-1][1] > BUDGET_S:
            break
    return extrapolated(points, side**2 * training.batch)


def growing(side: int, batch: int) -> list[tuple[int, int]]:
    """Sides and batches from small ones to these, each with GROWTH times the pixels of the one before."""
    pixels, images = min(64, side), min(2, batch)
    sizes = [(pixels, images)]
    while (pixels, images) != (side, batch):
        if pixels < side:
            pixels = min(2 * pixels, side)
        else:
            images = min(GROWTH * images, batch)
        sizes.append((pixels, images))
    return sizes


def extrapolated(points: Sequence[tuple[int, float]], pixels: int) -> float:
    """Seconds at `pixels`, on the line through the last two points (pixels, seconds).

    A step costs something whatever its size, the optimiser's part: in proportion to the pixels it would come out at a
    multiple of what it takes.
    """
    last, taken = points[-1]
    slope = taken / last
    if len(points) > 1 and taken > points[-2][1]:
        slope = min(slope, (taken - points[-2][1]) / (last - points[-2][0]))
    return taken + slope * (pixels - last)


def noise(side: int, settings: SynthesisSettings, on: torch.device) -> Synthesis:
    """A source of batches of `side` pixels that needs no photograph."""
    generator = seeded(0, "estimate")
    normal, textures = (torch.randint(256, (4, 3, side, side), generator=generator, dtype=torch.uint8) for _ in "ab")
    return Synthesis(normal.to(on), textures.to(on), settings, generator)
