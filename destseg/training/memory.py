"""The stage `memory`: patches of normal images, and how far from them and from the student normal places are."""

import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import MEMORY, STUDENT, TEACHER, build_dir
from destseg.model.backbone import Backbone
from destseg.model.device import device, placed
from destseg.model.fold import folded
from destseg.model.memory import MOST_PATCHES, Memory, deviation, distance, features, levelled, save_memory
from destseg.model.student import Student, load_student
from destseg.model.teacher import load_teacher
from destseg.settings import read_section, read_seed
from destseg.training.synthesis import seeded

IMAGES = 200  # normal images that are looked at, at most
PLACES = 1024  # of each, which are all that there are at 256x256: a larger picture takes no more memory
_CANDIDATES = 40_000  # places that patches are picked of, at most
_PROJECTED = 64  # channels in which candidates are compared


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """What is added to the segmentation net's map."""

    patches: int = 0
    """Patches of normal images that are kept, and compared with every place of a scored image; 0: nothing is added, the
    map is the paper's."""
    weight: float = 0.7
    """Of log(1 + z), z the distance to the nearest patch in standard deviations of normal images."""
    dest_weight: float = 0.25
    """Of log(1 + z), z the mean over levels of 1 - cosine of teacher and student, in the same unit."""

    def __post_init__(self) -> None:
        if not 0 <= self.patches <= MOST_PATCHES:
            raise ValueError(f"patches is {self.patches}, expected 0 to {MOST_PATCHES}")
        if self.weight < 0 or self.dest_weight < 0:
            raise ValueError(f"weight is {self.weight} and dest_weight {self.dest_weight}, expected at least 0")


@torch.inference_mode()
def remember(
    teacher: Backbone, student: Student, images: Tensor, settings: MemorySettings, generator: torch.Generator
) -> Memory:
    """The memory of normal images uint8 [N, 3, S, S]; its patches are those that differ most (`coreset`).

    The distance of a normal place is measured to the patches of the other images: its own would be too near.
    """
    on = images.device
    frozen = [placed(folded(part), on) for part in (teacher, student)]
    found, levels = [], []
    for image in images:
        normal = teacher.normalise(image[None])
        maps, others = (part(normal) for part in frozen)
        found.append(_sampled(features(maps), generator))
        levels.append(_sampled(levelled(maps, others), generator))
    seen, apart = torch.stack(found), torch.cat(levels)  # [N, P, C] and [N P, 3]
    places = seen.flatten(0, 1)
    mean, std = places.mean(dim=0), deviation(places)
    standard = (seen - mean) / std
    rows = coreset(standard.flatten(0, 1), settings.patches, generator)
    memory = Memory(len(rows), teacher.channels).to(on)
    memory.mean, memory.std = mean, std
    memory.patches, of = standard.flatten(0, 1)[rows], rows // seen.shape[1]
    away = [distance(one, _others(memory.patches, of != index)) for index, one in enumerate(standard)]
    memory.patch_mean, memory.patch_std = torch.cat(away).mean(), deviation(torch.cat(away))
    memory.dest_mean, memory.dest_std = apart.mean(dim=0), deviation(apart)
    memory.log_weights = torch.tensor([settings.weight, settings.dest_weight], device=on)
    return memory.eval()


def coreset(places: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows of `count` of the places [P, C], one after another the farthest from those before: [min(count, P)].

    The greedy k-centre of PatchCore (CVPR 2022, section 3.2) over candidates drawn from all, in random projections.
    """
    drawn = torch.randperm(len(places), generator=generator)[: max(count, _CANDIDATES)].to(places.device)
    if count >= len(drawn):
        return drawn
    axes = torch.randn(places.shape[1], _PROJECTED, generator=generator).to(places)
    candidates = places[drawn] @ axes
    squares = (candidates * candidates).sum(dim=1)
    rows = torch.zeros(count, dtype=torch.long, device=places.device)
    nearest = torch.full_like(squares, torch.inf)
    for index in range(count - 1):
        row = rows[index]
        torch.minimum(nearest, torch.addmv(squares, candidates, candidates[row], alpha=-2) + squares[row], out=nearest)
        nearest[row] = -torch.inf
        rows[index + 1] = nearest.argmax()
    return drawn[rows]


def _sampled(maps: Tensor, generator: torch.Generator) -> Tensor:
    """[1, C, H, W] -> [P, C], any places of one image."""
    flat = maps[0].flatten(1).T
    return flat[torch.randperm(len(flat), generator=generator)[:PLACES].to(flat.device)]


def _others(patches: Tensor, kept: Tensor) -> Tensor:
    """The patches of other images; all where there are none."""
    return patches[kept] if bool(kept.any()) else patches


def stage(category: str) -> None:
    """The stage `memory`: writes build/<category>/memory.safetensors, without content where `patches` is 0."""
    settings, build = read_section("memory", MemorySettings, category=category), build_dir(category)
    image, seed = read_section("image", ImageSettings, category=category), read_seed()
    said = {"settings": json.dumps({"seed": seed, "image": asdict(image), "memory": asdict(settings)})}
    if not settings.patches:
        save_memory(build / MEMORY, None, said)
        return
    accepted = read_accepted(category)
    generator = seeded(seed, f"{category}/memory")
    paths = accepted.paths(accepted.training)
    chosen = sorted(torch.randperm(len(paths), generator=generator)[:IMAGES].tolist())
    images = load_all([paths[index] for index in chosen], image).to(device())
    memory = remember(load_teacher(build / TEACHER)[0], load_student(build / STUDENT), images, settings, generator)
    save_memory(build / MEMORY, memory, said)
