"""The published training loop and inference, done plainly: the yardstick that ours is measured against.

Nothing in the pipeline uses it. It has the published code's behaviour and costs, written from their description:
float32, eager, contiguous maps, synthesis on the CPU for each sample, and every forward pass, the needless ones too.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from destseg import Error
from destseg.dataset.procedural import render
from destseg.model.blocks import kaiming_init
from destseg.model.resnet18 import ResNet18
from destseg.model.segmentation import ASPP, Segmentation
from destseg.model.student import Student
from destseg.model.teacher import new_teacher

EPOCH = 256  # samples between two restarts of the loader; a category of MVTec AD has 242 normal images on average
FILL = (114, 114, 114)  # where a turned image leaves its frame
TOP_AT_256 = 100  # highest pixels of a map of 256x256 that make the image score
LEAST = 1e-6  # of a probability, so that its logarithm is finite

Sample = tuple[Tensor, Tensor, Tensor]


def write_pictures(folder: Path, *, normals: int = 16, textures: int = 16, side: int = 512, seed: int = 0) -> None:
    """Writes folder/normal/*.png, photographs of one surface, and folder/textures/*.jpg, each of another one."""
    for name in ("normal", "textures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(normals):
        Image.fromarray(render(0, index, size=side, seed=seed)).save(folder / f"normal/{index:04}.png")
    for index in range(textures):
        Image.fromarray(render(index + 1, 0, size=side, seed=seed)).save(folder / f"textures/{index:04}.jpg")


class Samples(Dataset[Sample]):
    """(normal, damaged, mask) of one normal image, float32 [3, S, S] twice, normalised, and [1, S, S] of 0 and 1.

    Made anew at each access, from the files on. The images turn as those of bottle, carpet or screw do.
    """

    def __init__(self, folder: Path, size: int, length: int) -> None:
        self.normals, self.textures = sorted(folder.glob("normal/*.png")), sorted(folder.glob("textures/*.jpg"))
        if not self.normals or not self.textures:
            raise Error(f"{folder} lacks normal/*.png or textures/*.jpg, expected what `write_pictures` writes there")
        self.size, self.length = size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        random = np.random.default_rng(int(torch.randint(2**31, ())))  # torch seeds each worker differently
        image = _read(self.normals[index % len(self.normals)], self.size)
        for degrees in (90.0 * random.integers(4), random.uniform(-5, 5)):
            image = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=FILL)
        normal = _to_tensor(image)
        noise = Image.fromarray(perlin(self.size, random).astype(np.float32))
        noise = noise.rotate(random.uniform(-90, 90), Image.Resampling.BILINEAR)
        mask = torch.from_numpy(np.asarray(noise) > 0.5)[None].float()
        texture = _to_tensor(_read(self.textures[random.integers(len(self.textures))], self.size))
        beta = random.uniform(0, 0.8)
        damaged = (1 - mask) * normal + mask * (beta * normal + (1 - beta) * texture)
        return _normalised(normal), _normalised(damaged), mask


def perlin(size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """[size, size] gradient noise within [-1, 1]; the lattice has 1, 2, 4, ... or 32 cells along each axis."""
    down, across = 2 ** random.integers(0, 6, 2)
    angles = random.uniform(0, 2 * math.pi, (down + 1, across + 1))
    gradient_y, gradient_x = np.sin(angles), np.cos(angles)
    y, x = ((np.arange(size) + 0.5) / size * cells for cells in (down, across))
    row, column = y.astype(int), x.astype(int)
    offset_y, offset_x = (y - row)[:, None], (x - column)[None]

    def dot(below: int, right: int) -> NDArray[np.float64]:
        at = np.ix_(row + below, column + right)
        return np.asarray(gradient_y[at] * (offset_y - below) + gradient_x[at] * (offset_x - right))

    fade_y, fade_x = (t**3 * (t * (t * 6 - 15) + 10) for t in (offset_y, offset_x))
    top, bottom = ((1 - fade_x) * dot(below, 0) + fade_x * dot(below, 1) for below in (0, 1))
    return np.asarray(math.sqrt(2) * ((1 - fade_y) * top + fade_y * bottom))


def _read(path: Path, size: int) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def _to_tensor(image: Image.Image) -> Tensor:
    # float32 [3, S, S] in 0..1
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


def _normalised(images: Tensor) -> Tensor:
    # [..., 3, S, S] in 0..1
    mean, std = (
        torch.tensor(values, device=images.device).view(3, 1, 1) / 255 for values in (ResNet18.mean, ResNet18.std)
    )
    return (images - mean) / std


def _endless(loader: "DataLoader[Sample]") -> Iterator[Sample]:
    while True:
        yield from loader


class Naive:
    """New networks, their optimisers and a loader of training batches, on the files of `write_pictures`."""

    def __init__(
        self, folder: Path, *, size: int, batch: int, width: int, device: torch.device, workers: int = 0, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.teacher, self.student = new_teacher().to(device), Student().to(device)
        self.segmentation = Segmentation(width)
        kaiming_init(self.segmentation)
        self.segmentation.to(device)
        groups = [
            {"params": list(self.segmentation.res.parameters()), "lr": 0.1},
            {"params": list(self.segmentation.head.parameters()), "lr": 0.01},
        ]
        self.student_optimiser = torch.optim.SGD(self.student.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
        self.segmentation_optimiser = torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4)
        samples = Samples(folder, size, max(EPOCH, batch))
        loader = DataLoader(
            samples, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        self.batches = _endless(loader)

    def student_step(self) -> list[float]:
        """One step of stage 1: its cosine, focal and L1 losses, and the one that was minimised, the first."""
        self.student.train()
        self.segmentation.eval()
        cosine, focal, l1 = self._losses()
        return self._step(self.student_optimiser, [cosine, focal, l1, cosine])

    def segmentation_step(self) -> list[float]:
        """One step of stage 2: its cosine, focal and L1 losses, and the one that was minimised, focal plus L1."""
        self.student.eval()
        self.segmentation.train()
        cosine, focal, l1 = self._losses()
        return self._step(self.segmentation_optimiser, [cosine, focal, l1, focal + l1])

    def score(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [N, 3, S, S] -> scores [N], maps [N, S, S]."""
        self.student.eval()
        self.segmentation.eval()
        with torch.no_grad():
            x = _normalised(images.to(self.device).float() / 255)
            probability, _ = self._forward(x, x)
            maps = F.interpolate(probability, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
            count = max(1, round(maps[0].numel() * TOP_AT_256 / 256**2))
            return maps.flatten(1).sort(dim=1, descending=True).values[:, :count].mean(dim=1), maps

    def close(self) -> None:
        """Ends the loader's workers; no training step can follow."""
        self.batches = iter(())  # the loader goes with its last reference, and the workers with it

    def _losses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Cosine, focal and L1 loss of the next batch."""
        normal, damaged, mask = (part.to(self.device) for part in next(self.batches))
        probability, cosine = self._forward(damaged, normal)
        target = F.interpolate(mask, probability.shape[2:], mode="bilinear", align_corners=False)
        target = (target >= 0.5).float()
        of_truth = torch.where(target == 1, probability, 1 - probability).clamp(min=LEAST)
        return cosine, ((1 - of_truth) ** 4 * -of_truth.log()).mean(), (probability - target).abs().mean()

    def _forward(self, damaged: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """The segmentation net's map [B, 1, S/4, S/4], and the loss of stage 1: all networks run, whatever is used."""
        of_normal, of_damaged, ours = (
            [F.normalize(level, dim=1) for level in network(images)]
            for network, images in ((self.teacher, normal), (self.teacher, damaged), (self.student, damaged))
        )
        pairs = zip(of_normal, ours, strict=True)
        cosine = torch.stack([(1 - (theirs * own).sum(dim=1)).mean((1, 2)).sum() for theirs, own in pairs]).sum()
        size = ours[0].shape[2:]
        products = [-theirs * own for theirs, own in zip(of_damaged, ours, strict=True)]
        resized = [F.interpolate(level, size, mode="bilinear", align_corners=False) for level in products]
        return self._segmented(torch.cat(resized, dim=1)), cosine

    def _segmented(self, similarities: Tensor) -> Tensor:
        # [B, 448, H, W] -> [B, 1, H, W]; the ASPP without the shortcut of its own `forward`
        aspp, *rest = self.segmentation.head
        assert isinstance(aspp, ASPP)
        x = self.segmentation.res(similarities)
        mean = aspp.pooled(x.mean((2, 3), keepdim=True)).expand_as(x)
        x = aspp.fuse(torch.cat([mean, *(branch(x) for branch in aspp.dilated)], dim=1))
        for part in rest:
            x = part(x)
        return torch.sigmoid(x)

    def _step(self, optimiser: torch.optim.SGD, losses: list[Tensor]) -> list[float]:
        """Minimises the last loss. Both optimisers forget, as stage 2 gives the frozen student gradients too."""
        self.student_optimiser.zero_grad()
        self.segmentation_optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
        return [loss.item() for loss in losses]
