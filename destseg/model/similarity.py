"""How alike two sets of feature maps are, place by place: what both losses and both anomaly maps are made of."""

import torch
from torch import Tensor
from torch.nn import functional as F


def distances(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> list[Tensor]:
    """1 - cosine at each place of each level, in float32: three of [B, H, W] (equation 2)."""
    return [1 - F.cosine_similarity(t.float(), s.float(), dim=1) for t, s in zip(teacher, student, strict=True)]


def similarities(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> Tensor:
    """Negated products of the L2-normalised maps, up-sampled to level 1's size: [B, 448, H/4, W/4] (equation 4)."""
    size = teacher[0].shape[2:]
    levels = []
    for theirs, ours in zip(teacher, student, strict=True):
        product = -F.normalize(theirs, dim=1) * F.normalize(ours, dim=1)
        resized = product.shape[2:] != size
        levels.append(F.interpolate(product, size, mode="bilinear", align_corners=False) if resized else product)
    return torch.cat(levels, dim=1)
