"""The whole of DeSTSeg: uint8 photographs of the model's size to anomaly scores and anomaly maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.segmentation import Segmentation
from destseg.model.similarity import distances, similarities
from destseg.model.student import Student
from destseg.model.teacher import Teacher, normalise

TOP_SHARE = 100 / 256**2  # the image score is the mean of the 100 highest pixels of 256x256 (section 3.4)


class DeSTSeg(nn.Module):
    """Teacher, student and segmentation net in one forward pass, the one that is evaluated, exported and served."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.teacher = Teacher()
        self.student = Student()
        self.segmentation = Segmentation(width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # images: uint8 [B, 3, S, S] -> scores [B], maps [B, S, S], both in [0, 1]
        x = normalise(images)
        logits = self.segmentation(similarities(self.teacher(x), self.student(x)))
        maps = _resize(torch.sigmoid(logits.float()), images.shape[-1])[:, 0]
        return image_scores(maps), maps

    def dest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and maps without the segmentation net: the product over levels of 1 - cos (the paper's "DeST")."""
        x = normalise(images)
        levels = distances(self.teacher(x), self.student(x))
        size = levels[0].shape[-1]
        product = torch.stack([_resize(level[:, None], size) for level in levels]).prod(dim=0)
        maps = _resize(product, images.shape[-1])[:, 0]
        return image_scores(maps), maps


def image_scores(maps: Tensor) -> Tensor:
    """Mean of the highest pixels of each map: [B, H, W] -> [B] (section 3.4, T = 100 at 256x256)."""
    flat = maps.flatten(1)
    count = max(1, round(flat.shape[1] * TOP_SHARE))
    return flat.topk(count, dim=1, sorted=False).values.mean(dim=1)


def _resize(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
