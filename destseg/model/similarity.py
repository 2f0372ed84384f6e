"""How alike two sets of feature maps are, place by place: what both losses and both anomaly maps are made of."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Inputs = Literal["product", "concatenated", "distances"]  # of the segmentation net; all but the first are ablations


def distances(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> list[Tensor]:
    """1 - cosine at each place of each level, in float32: three of [B, H, W] (equation 2)."""
    return [1 - F.cosine_similarity(t.float(), s.float(), dim=1) for t, s in zip(teacher, student, strict=True)]


def similarities(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...], inputs: Inputs = "product") -> Tensor:
    """What the segmentation net sees, every level up-sampled to level 1's size: [B, 448, H/4, W/4] for `product`.

    product: negated products of the L2-normalised maps, in float32 (equation 4). Ablations: concatenated, both maps as
    they are, 896 channels; distances, 1 - cosine, 3 channels.
    """
    if inputs == "product":
        pairs = zip(teacher, student, strict=True)
        levels = [-F.normalize(theirs.float(), dim=1) * F.normalize(ours.float(), dim=1) for theirs, ours in pairs]
    elif inputs == "concatenated":
        levels = [torch.cat(pair, dim=1) for pair in zip(teacher, student, strict=True)]
    else:
        levels = [level[:, None] for level in distances(teacher, student)]
    size = teacher[0].shape[2:]
    return torch.cat([_resized(level, size) for level in levels], dim=1)


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
