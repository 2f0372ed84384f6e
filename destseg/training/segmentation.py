"""Stage 2: with teacher and student frozen, the segmentation net learns to outline synthetic defects."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from destseg import Error
from destseg.dataset.layout import SEGMENTATION, STUDENT, build_dir
from destseg.model.backbone import Backbone
from destseg.model.blocks import kaiming_init
from destseg.model.device import Precision, dtype_of, placed
from destseg.model.fold import folded
from destseg.model.segmentation import Segmentation, save_segmentation
from destseg.model.similarity import Inputs, similarities
from destseg.model.student import Student, load_student
from destseg.settings import read_section
from destseg.training import loop, parallel
from destseg.training.accelerate import arithmetic, compiled
from destseg.training.checkpoint import Checkpoint
from destseg.training.losses import focal_loss, l1_loss, quarter_mask
from destseg.training.precision import quicker
from destseg.training.prepare import record, started
from destseg.training.synthesis import Batch, Synthesis

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
    prior: float | None = None
    """Share of the pixels that the net takes for defective before it has learned, by its last bias (after RetinaNet,
    Lin et al. 2017): little, as a defect is rare; null: as `head_init` leaves it."""
    width: int = 256
    """Channels inside the net; the paper's is 256, a smaller one lets a processor train it in minutes."""
    steps: int = 4000
    batch: int = 32
    optimiser: loop.OptimiserName = "sgd"
    """sgd: the paper's; adamw: fewer steps."""
    lr_res: float = 0.1
    """Of the two residual blocks."""
    lr_head: float = 0.01
    """Of the ASPP and what follows."""
    schedule: loop.Schedule = "constant"
    """constant: the paper's; cosine: the learning rates fall to 0, which helps short trainings."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 1e-4
    precision: Precision = "auto"
    """auto: bfloat16 where a step is faster with it, which a processor tries; losses are float32 always."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.width < 8:
            raise ValueError(f"steps is {self.steps} and width {self.width}, expected at least 1 and 8")
        if self.prior is not None and not 0 < self.prior < 1:
            raise ValueError(f"prior is {self.prior}, expected null or more than 0 and less than 1")
        if not self.net and (self.inputs != "product" or not self.l1):
            raise ValueError(
                f"net is false, so that inputs {self.inputs} and l1 {str(self.l1).lower()} would change nothing; "
                f"leave inputs at product and l1 at true, or set net to true"
            )
        if self.batch < 2:
            raise ValueError(
                f"batch is {self.batch}, expected at least 2: the ASPP's pooled branch is normalised over it"
            )


def prepared(
    teacher: Backbone, student: Student, synthesis: Synthesis, settings: SegmentationSettings, *, seed: int
) -> tuple[Segmentation, loop.Training]:
    """A new segmentation net, and its training on the device of the synthesis."""
    device, processes = synthesis.device, parallel.share(settings.batch)[1]
    if device.type != "cuda" and settings.batch < 2 * processes:
        raise Error(f"segmentation.batch is {settings.batch}, expected at least 2 for each of {processes} processes")
    if settings.precision == "auto":
        settings = replace(
            settings,
            precision=quicker(
                "segmentation",
                lambda found: prepared(teacher, student, synthesis, replace(settings, precision=found), seed=seed)[1],
                synthesis,
                (settings, teacher.name, student.network, student.encoder_decoder),
            ),
        )
    torch.manual_seed(seed)
    segmentation = Segmentation(settings.width, settings.inputs, teacher.channels)
    if settings.head_init == "kaiming":
        kaiming_init(segmentation.head)
    if settings.prior is not None:
        last = segmentation.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, math.log(settings.prior / (1 - settings.prior)))
    segmentation = placed(segmentation, device).train()
    learning = parallel.distributed_module(segmentation, device)
    dtype = dtype_of(settings.precision, device)
    frozen_teacher, frozen_student = (placed(folded(part), device, dtype) for part in (teacher, student))
    optimiser = loop.optimiser(
        settings.optimiser,
        [
            (list(segmentation.res.parameters()), settings.lr_res),
            (list(segmentation.head.parameters()), settings.lr_head),
        ],
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )

    def loss(batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():  # both frozen: no graph below the segmentation net
            damaged = teacher.normalise(batch.damaged).to(dtype)
            inputs = similarities(frozen_teacher(damaged), frozen_student(damaged), settings.inputs)
        with arithmetic(device, settings.precision):
            logits = learning(inputs).float()
        target = quarter_mask(batch.mask)
        focal, l1 = focal_loss(logits, target), l1_loss(logits, target)
        return focal + l1 if settings.l1 else focal, torch.stack([focal, l1])

    return segmentation, loop.Training(
        name="segmentation",
        columns=COLUMNS,
        network=segmentation,
        optimiser=optimiser,
        scheduler=loop.scheduler(optimiser, settings.schedule, settings.steps),
        synthesis=synthesis,
        steps=settings.steps,
        batch=settings.batch,
        precision=settings.precision,
        loss=compiled(loss),
        least=2,  # as SegmentationSettings says
    )


def train(
    teacher: Backbone,
    student: Student,
    synthesis: Synthesis,
    settings: SegmentationSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> tuple[Segmentation, list[loop.Row]]:
    """The trained segmentation net (eval mode, on the device of the synthesis) and its (step, [focal, l1]) rows."""
    if settings.precision == "auto" and checkpoint and (begun := checkpoint.precision()):
        settings = replace(settings, precision=begun)
    segmentation, training = prepared(teacher, student, synthesis, settings, seed=seed)
    rows = loop.run(training, checkpoint)
    return segmentation.eval(), rows


def stage(category: str, *, deterministic: bool = False) -> None:
    """The stage `segmentation`: writes build/<category>/segmentation.safetensors and segmentation-loss.csv.

    Without a net both say so, and nothing is trained.
    """
    settings, build = read_section("segmentation", SegmentationSettings, category=category), build_dir(category)
    if not settings.net:
        loop.write_losses(build / "segmentation-loss.csv", COLUMNS, [])
        save_segmentation(build / SEGMENTATION, None, record(category, segmentation=settings))
        return
    with started(category, "segmentation", settings, build / STUDENT, deterministic=deterministic) as start:
        student = load_student(build / STUDENT)
        segmentation, rows = train(
            start.teacher, student, start.synthesis, settings, seed=start.seed, checkpoint=start.checkpoint
        )
        if parallel.first():
            loop.write_losses(build / "segmentation-loss.csv", COLUMNS, rows)
            save_segmentation(build / SEGMENTATION, segmentation, start.record)
