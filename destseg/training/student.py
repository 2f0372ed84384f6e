"""Stage 1: the student learns to rebuild the teacher's maps of the undamaged image from the damaged one."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from destseg.dataset.layout import STUDENT, build_dir
from destseg.model.backbone import Backbone
from destseg.model.device import Precision, dtype_of, placed
from destseg.model.fold import folded
from destseg.model.student import Network, Student, save_student
from destseg.settings import read_section
from destseg.training import loop, parallel
from destseg.training.accelerate import arithmetic, compiled
from destseg.training.checkpoint import Checkpoint
from destseg.training.losses import student_loss
from destseg.training.precision import quicker
from destseg.training.prepare import started
from destseg.training.synthesis import Batch, Synthesis

COLUMNS = ("loss",)


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """Shape of the student and schedule of stage 1 (section 4.1 and the public code)."""

    denoising: bool = True
    """Show the student the damaged image; false (ablation): the normal one, as the teacher sees it."""
    encoder_decoder: bool = True
    """false (ablation): a student of the teacher's own stages, without a decoder."""
    network: Network = "paper"
    """paper: ResNet18 and its mirror, from random weights; compact: the teacher's own backbone, from its weights, and a
    small decoder. compact needs a teacher that has its deep stages, which efficientnet-lite0 has."""
    reduction: Literal["sum", "mean"] = "sum"
    """Of the loss over the batch; sum: the public code's, to which `lr` belongs; mean: gradients 1/`batch` as large."""
    steps: int = 1000
    batch: int = 32
    """Images a step; a loss summed over them makes `lr` belong to this size."""
    optimiser: loop.OptimiserName = "sgd"
    """sgd: the paper's; adamw: fewer steps where the encoder starts from trained weights."""
    lr: float = 0.4
    encoder_lr_share: float = 1.0
    """Share of `lr` at which the encoder learns: less for one that starts from trained weights."""
    schedule: loop.Schedule = "constant"
    """constant: the paper's; cosine: the learning rates fall to 0, which helps short trainings."""
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 1e-4
    precision: Precision = "auto"
    """auto: bfloat16 where a step is faster with it, which a processor tries; losses are float32 always."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ValueError(f"steps is {self.steps} and batch {self.batch}, expected at least 1 of each")


def prepared(
    teacher: Backbone, synthesis: Synthesis, settings: StudentSettings, *, seed: int
) -> tuple[Student, loop.Training]:
    """A new student, and its training on the device of the synthesis."""
    if settings.precision == "auto":
        settings = replace(
            settings,
            precision=quicker(
                "student",
                lambda found: prepared(teacher, synthesis, replace(settings, precision=found), seed=seed)[1],
                synthesis,
                (settings, teacher.name),
            ),
        )
    torch.manual_seed(seed)
    device, processes = synthesis.device, parallel.share(settings.batch)[1]
    student = Student(teacher.name, network=settings.network, encoder_decoder=settings.encoder_decoder)
    if settings.network == "compact" and settings.encoder_decoder:
        student.start_from(teacher)
    student = placed(student, device).train()
    learning = parallel.distributed_module(student, device)
    dtype = dtype_of(settings.precision, device)
    frozen = placed(folded(teacher), device, dtype)
    encoder = list(student.encoder.parameters())
    decoder = [weight for name, weight in student.named_parameters() if not name.startswith("encoder.")]
    optimiser = loop.optimiser(
        settings.optimiser,
        [(encoder, settings.lr * settings.encoder_lr_share), (decoder, settings.lr)],
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )

    def loss(batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            target = frozen(teacher.normalise(batch.normal).to(dtype))
        with arithmetic(device, settings.precision):
            output = learning(teacher.normalise(batch.damaged if settings.denoising else batch.normal))
        losses = student_loss(target, output)  # [B]
        # Gradients are averaged over the processes, each of which has its share of the batch.
        return losses.sum() * processes if settings.reduction == "sum" else losses.mean(), losses.mean()[None]

    return student, loop.Training(
        name="student",
        columns=COLUMNS,
        network=student,
        optimiser=optimiser,
        scheduler=loop.scheduler(optimiser, settings.schedule, settings.steps),
        synthesis=synthesis,
        steps=settings.steps,
        batch=settings.batch,
        precision=settings.precision,
        loss=compiled(loss),
    )


def train(
    teacher: Backbone,
    synthesis: Synthesis,
    settings: StudentSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> tuple[Student, list[loop.Row]]:
    """The trained student (eval mode, on the device of the synthesis) and its (step, [loss]) rows."""
    if settings.precision == "auto" and checkpoint and (begun := checkpoint.precision()):
        settings = replace(settings, precision=begun)
    student, training = prepared(teacher, synthesis, settings, seed=seed)
    rows = loop.run(training, checkpoint)
    return student.eval(), rows


def stage(category: str, *, deterministic: bool = False) -> None:
    """The stage `student`: writes build/<category>/student.safetensors and student-loss.csv."""
    settings = read_section("student", StudentSettings, category=category)
    deep = settings.network == "compact" and settings.encoder_decoder  # without a decoder it starts from random weights
    with started(category, "student", settings, deep=deep, deterministic=deterministic) as start:
        student, rows = train(start.teacher, start.synthesis, settings, seed=start.seed, checkpoint=start.checkpoint)
        if parallel.first():
            loop.write_losses(build_dir(category) / "student-loss.csv", COLUMNS, rows)
            save_student(build_dir(category) / STUDENT, student, start.record)
