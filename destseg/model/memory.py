"""What normal images look like to the frozen networks, and how much further off a place of another image is."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg import Error
from destseg.model.similarity import distances
from destseg.model.weights import load_weights, read_metadata, save_weights

Maps = tuple[Tensor, ...]
MOST_PATCHES = 100_000
_AT_ONCE = 512  # patches
# Of a deviation: a channel that hardly moves on normal images must neither outweigh the others nor enlarge rounding.
_LEAST, _LEAST_SHARE = 1e-3, 0.05


class Memory(nn.Module):
    """Patches of normal images (after PatchCore, CVPR 2022), and what is usual of the two distances on them.

    teacher's and student's maps -> [B, 1, H/4, W/4], to be added to the segmentation net's map: log(1 + z) of both
    distances z, in standard deviations of normal images, times their weights. It is negative where a place is calmer
    than most.
    """

    patches: Tensor
    """[M, C] of `features`, standardised; C is the sum of the teacher's channels."""
    mean: Tensor
    """[C] of `features` of normal images, and `std` their deviations."""
    std: Tensor
    patch_mean: Tensor
    """Of the distance to the nearest patch, at places of normal images; `patch_std` its deviation."""
    patch_std: Tensor
    dest_mean: Tensor
    """[3] of 1 - cosine of teacher and student at each level, at places of normal images; `dest_std` its deviation."""
    dest_std: Tensor
    log_weights: Tensor
    """[2] of log(1 + z): of the distance to the nearest patch, and of the mean over levels of 1 - cosine."""

    def __init__(self, patches: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        width, levels = sum(channels), len(channels)
        self.channels = channels
        for name, value in {
            "patches": torch.zeros(patches, width),
            "mean": torch.zeros(width),
            "std": torch.ones(width),
            "patch_mean": torch.zeros(()),
            "patch_std": torch.ones(()),
            "dest_mean": torch.zeros(levels),
            "dest_std": torch.ones(levels),
            "log_weights": torch.zeros(2),
        }.items():
            self.register_buffer(name, value)

    def forward(self, teacher: Maps, student: Maps) -> Tensor:
        far, apart = self.standardised(teacher, student)
        patch, dest = self.log_weights.float()
        found: Tensor = patch * _compressed(far) + dest * _compressed(apart)
        return found

    def standardised(self, teacher: Maps, student: Maps) -> tuple[Tensor, Tensor]:
        """The two distances, to the nearest patch and of teacher and student, each [B, 1, H/4, W/4]."""
        standard = ((features(teacher) - _each(self.mean)) / _each(self.std)).permute(0, 2, 3, 1)
        far = (distance(standard, self.patches.float()) - self.patch_mean.float()) / self.patch_std.float()
        apart = (levelled(teacher, student) - _each(self.dest_mean)) / _each(self.dest_std)
        return _resized(far[:, None], teacher[0].shape[2:]), apart.mean(dim=1, keepdim=True)


def distance(places: Tensor, patches: Tensor) -> Tensor:
    """sqrt(1 + d^2), d the Euclidean distance of each place [..., C] to the nearest patch of [M, C]: [...]."""
    # |v - p|^2 = |v|^2 + (|p|^2 - 2 vp): the bracket is a matrix product, of some patches at a time to stay small.
    # Where a place is a patch this rounds to anything near 0, in each program to another: the 1 makes them alike.
    seen = torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)
    known = torch.cat([-2 * patches, (patches * patches).sum(dim=1, keepdim=True)], dim=1)
    near = torch.stack([(seen @ some.T).amin(dim=-1) for some in known.split(_AT_ONCE)])
    return (1 + ((places * places).sum(dim=-1) + near.amin(dim=0)).clamp_min(0)).sqrt()


def features(teacher: Maps) -> Tensor:
    """The teacher's levels side by side, float32 [B, C, H/8, W/8]: each the mean over 3x3 places, at level 2's size."""
    size = teacher[1].shape[2:]
    return torch.cat([_resized(F.avg_pool2d(level.float(), 3, 1, 1), size) for level in teacher], dim=1)


def levelled(teacher: Maps, student: Maps) -> Tensor:
    """1 - cosine at each level, at level 1's size: [B, 3, H/4, W/4]."""
    size = teacher[0].shape[2:]
    return torch.cat([_resized(level[:, None], size) for level in distances(teacher, student)], dim=1)


def deviation(values: Tensor) -> Tensor:
    """Standard deviation over the first dimension, at least _LEAST and _LEAST_SHARE of the mean over the others."""
    found = values.std(dim=0)
    return found.clamp_min(max(_LEAST, _LEAST_SHARE * float(found.mean())))


def save_memory(path: Path, memory: Memory | None, metadata: Mapping[str, str] | None = None) -> None:
    """Its tensors, and in their metadata, beside what is given, what it takes to build it again; None: no patches."""
    if memory is None:
        save_weights(path, {}, {**(metadata or {}), "patches": "0"})
    else:
        shape = {"patches": str(len(memory.patches)), "channels": ",".join(map(str, memory.channels))}
        save_weights(path, memory, {**(metadata or {}), **shape})


def load_memory(path: Path) -> Memory | None:
    """What `save_memory` wrote; None for a model without a memory."""
    said = read_metadata(path)
    patches, channels = said.get("patches", ""), said.get("channels", "0,0,0")
    if not re.fullmatch(r"\d{1,6}", patches) or not re.fullmatch(r"\d{1,4}(,\d{1,4}){2}", channels):
        raise Error(
            f"{path} says {said}, expected patches and the channels of three levels; run the stage `memory` again"
        )
    if not int(patches):
        return None
    memory = Memory(int(patches), tuple(map(int, channels.split(","))))
    load_weights(path, memory)
    return memory


def _compressed(z: Tensor) -> Tensor:
    """log(1 + z), odd: 40 deviations, as where normal images are all alike, must not drown the segmentation net."""
    return z.sign() * z.abs().log1p()


def _each(values: Tensor) -> Tensor:
    return values.float()[None, :, None, None]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
