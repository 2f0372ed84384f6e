"""The whole of DeSTSeg: uint8 photographs of the model's size to anomaly scores and anomaly maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.backbone import BackboneName
from destseg.model.memory import Memory
from destseg.model.segmentation import Segmentation
from destseg.model.similarity import Inputs, distances, similarities
from destseg.model.student import Network, Student
from destseg.model.teacher import new_teacher

TOP_SHARE = 100 / 256**2  # the image score is the mean of the 100 highest pixels of 256x256 (section 3.4)


class DeSTSeg(nn.Module):
    """Teacher, student and segmentation net in one forward pass, the one that is evaluated, exported and served.

    `width` 0 leaves the segmentation net out: the map then is the paper's "DeST", in [0, 8] instead of [0, 1]. With
    `patches` a memory is added to it, which has no bounds.
    """

    def __init__(
        self,
        width: int = 256,
        *,
        inputs: Inputs = "product",
        network: Network = "paper",
        backbone: BackboneName = "resnet18",
        encoder_decoder: bool = True,
        patches: int = 0,
    ) -> None:
        super().__init__()
        self.teacher = new_teacher(backbone)
        self.student = Student(backbone, network=network, encoder_decoder=encoder_decoder)
        self.segmentation = Segmentation(width, inputs, self.teacher.channels) if width else None
        self.memory = Memory(patches, self.teacher.channels) if patches else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        # images: uint8 [B, 3, S, S] -> scores [B], maps [B, S, S]
        x = self.teacher.normalise(images).to(next(self.teacher.parameters()).dtype)
        teacher, student = self.teacher(x), self.student(x)
        if self.segmentation is None:
            small = dest(teacher, student)
        else:
            logits = self.segmentation(similarities(teacher, student, self.segmentation.inputs).to(x.dtype))
            small = torch.sigmoid(logits.float())
        if self.memory is not None:
            small = small + self.memory(teacher, student)
        maps = _resize(small, images.shape[-1])[:, 0]
        return image_scores(maps), maps


def dest(teacher: tuple[Tensor, ...], student: tuple[Tensor, ...]) -> Tensor:
    """The product over levels of 1 - cos, up-sampled to level 1's size: [B, 1, H/4, W/4] in [0, 8]."""
    levels = distances(teacher, student)
    size = levels[0].shape[-1]
    return torch.stack([_resize(level[:, None], size) for level in levels]).prod(dim=0)


def image_scores(maps: Tensor) -> Tensor:
    """Mean of the highest pixels of each map: [B, H, W] -> [B] (section 3.4, T = 100 at 256x256)."""
    flat = maps.flatten(1)
    count = max(1, round(flat.shape[1] * TOP_SHARE))
    return flat.topk(count, dim=1, sorted=False).values.mean(dim=1)


def _resize(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
