"""Stage 2: with teacher and student frozen, the segmentation net learns to outline synthetic defects."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from destseg.dataset.layout import SEGMENTATION, STUDENT, build_dir
from destseg.model.blocks import kaiming_init
from destseg.model.device import Precision, autocast, placed
from destseg.model.segmentation import Segmentation, save_segmentation
from destseg.model.similarity import Inputs, similarities
from destseg.model.student import Student, load_student
from destseg.model.teacher import Teacher, normalise
from destseg.settings import read_section
from destseg.training import loop
from destseg.training.losses import focal_loss, l1_loss, quarter_mask
from destseg.training.prepare import prepare, record
from destseg.training.synthesis import Synthesis

COLUMNS = ("focal", "l1")


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings:
    """Shape of the segmentation net and schedule of stage 2 (section 4.1 and the public code)."""

    net: bool = True
    """false (ablation): no segmentation net; the anomaly map is the product over levels of 1 - cosine ("DeST")."""
    inputs: Inputs = "product"
    """Of teacher and student, level by level. Ablations: their concatenated maps, or their cosine distances."""
    l1: bool = True
    """false (ablation): the focal loss alone."""
    head_init: Literal["torch", "kaiming"] = "torch"
    """torch: the layers' own; kaiming: as the residual blocks, which starts with saturated logits (docs/method.md)."""
    width: int = 256
    """Channels inside the net; the paper's is 256, a smaller one lets a processor train it in minutes."""
    steps: int = 4000
    batch: int = 32
    lr_res: float = 0.1
    """Of the two residual blocks."""
    lr_head: float = 0.01
    """Of the ASPP and what follows."""
    schedule: loop.Schedule = "constant"
    """constant: the paper's; cosine: the learning rates fall to 0, which helps short trainings."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    precision: Precision = "auto"
    """auto: bfloat16 where the hardware has it; losses are float32 always."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.width < 8:
            raise ValueError(f"steps is {self.steps} and width {self.width}, expected at least 1 and 8")
        if not self.net and (self.inputs != "product" or not self.l1):
            raise ValueError(
                f"net is false, so that inputs {self.inputs} and l1 {str(self.l1).lower()} would change nothing; "
                f"leave inputs at product and l1 at true, or set net to true"
            )
        if self.batch < 2:
            raise ValueError(
                f"batch is {self.batch}, expected at least 2: the ASPP's pooled branch is normalised over it"
            )


def train(
    teacher: Teacher,
    student: Student,
    synthesis: Synthesis,
    settings: SegmentationSettings,
    *,
    seed: int,
    device: torch.device,
) -> tuple[Segmentation, list[tuple[int, list[float]]]]:
    """The trained segmentation net (eval mode, on `device`) and its (step, [focal, l1]) rows."""
    torch.manual_seed(seed)
    segmentation = Segmentation(settings.width, settings.inputs)
    if settings.head_init == "kaiming":
        kaiming_init(segmentation.head)
    segmentation = placed(segmentation, device)
    segmentation.train()
    teacher = placed(teacher, device)
    student = placed(student, device).eval()
    groups = [
        {"params": list(segmentation.res.parameters()), "lr": settings.lr_res},
        {"params": list(segmentation.head.parameters()), "lr": settings.lr_head},
    ]
    optimiser = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True)
    scheduler = loop.scheduler(optimiser, settings.schedule, settings.steps)

    def step() -> Tensor:
        batch = synthesis.batch(settings.batch)
        with autocast(device, settings.precision):
            with torch.no_grad():  # both frozen: no graph below the segmentation net
                damaged = normalise(batch.damaged).contiguous(memory_format=torch.channels_last)
                inputs = similarities(teacher(damaged), student(damaged), settings.inputs)
            logits = segmentation(inputs).float()
        target = quarter_mask(batch.mask)
        focal, l1 = focal_loss(logits, target), l1_loss(logits, target)
        optimiser.zero_grad(set_to_none=True)
        (focal + l1 if settings.l1 else focal).backward()
        optimiser.step()
        scheduler.step()
        return torch.stack([focal.detach(), l1.detach()])

    rows = loop.run("segmentation", settings.steps, COLUMNS, step)
    return segmentation.eval(), rows


def stage(category: str) -> None:
    """The stage `segmentation`: writes build/<category>/segmentation.safetensors and segmentation-loss.csv.

    Without a net both say so, and nothing is trained.
    """
    settings = read_section("segmentation", SegmentationSettings, category=category)
    segmentation, rows = None, list[tuple[int, list[float]]]()
    if settings.net:
        start = prepare(category, "segmentation")
        student = load_student(build_dir(category) / STUDENT)
        segmentation, rows = train(
            start.teacher, student, start.synthesis, settings, seed=start.seed, device=start.device
        )
    loop.write_losses(build_dir(category) / "segmentation-loss.csv", COLUMNS, rows)
    save_segmentation(build_dir(category) / SEGMENTATION, segmentation, record(category, segmentation=settings))
