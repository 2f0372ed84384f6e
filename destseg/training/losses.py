"""The losses of both stages, in float32."""

import torch
from torch import Tensor
from torch.nn import functional as F

from destseg.model.similarity import distances

GAMMA = 4  # of the focal loss (section 4.1)


def student_loss(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> Tensor:
    """Of each image, the sum over levels of the spatial mean of 1 - cos: [B] (equation 3)."""
    return torch.stack([level.mean((1, 2)) for level in distances(teacher, student)]).sum(dim=0)


def focal_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean over pixels of (1 - p_t)^4 * cross entropy, without class weights (equation 5)."""
    entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    return ((1 - (-entropy).exp()) ** GAMMA * entropy).mean()  # p_t = exp(-entropy)


def l1_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean over pixels of |p - M| (equation 6)."""
    return (torch.sigmoid(logits) - mask).abs().mean()


def quarter_mask(mask: Tensor) -> Tensor:
    """[B, 1, S, S] -> [B, 1, S/4, S/4]: resized bilinearly, then 1 where at least half (section 3.3)."""
    size = (mask.shape[-2] // 4, mask.shape[-1] // 4)
    return (F.interpolate(mask, size, mode="bilinear", align_corners=False) >= 0.5).float()
