"""Stage 1: the student learns to rebuild the teacher's maps of the undamaged image from the damaged one."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from destseg.dataset.layout import STUDENT, build_dir
from destseg.model.device import Precision, autocast, placed
from destseg.model.student import Student, save_student
from destseg.model.teacher import Teacher, normalise
from destseg.settings import read_section
from destseg.training import loop
from destseg.training.losses import student_loss
from destseg.training.prepare import prepare, record
from destseg.training.synthesis import Synthesis

COLUMNS = ("loss",)


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """Shape of the student and schedule of stage 1 (section 4.1 and the public code)."""

    denoising: bool = True
    """Show the student the damaged image; false (ablation): the normal one, as the teacher sees it."""
    encoder_decoder: bool = True
    """false (ablation): a student of the teacher's own stages, without a decoder."""
    reduction: Literal["sum", "mean"] = "sum"
    """Of the loss over the batch; sum: the public code's, to which `lr` belongs; mean: gradients 1/`batch` as large."""
    steps: int = 1000
    batch: int = 32
    """Images a step; a loss summed over them makes `lr` belong to this size."""
    lr: float = 0.4
    schedule: loop.Schedule = "constant"
    """constant: the paper's; cosine: the learning rates fall to 0, which helps short trainings."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    precision: Precision = "auto"
    """auto: bfloat16 where the hardware has it; losses are float32 always."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ValueError(f"steps is {self.steps} and batch {self.batch}, expected at least 1 of each")


def train(
    teacher: Teacher, synthesis: Synthesis, settings: StudentSettings, *, seed: int, device: torch.device
) -> tuple[Student, list[tuple[int, list[float]]]]:
    """The trained student (eval mode, on `device`) and its (step, [loss]) rows."""
    torch.manual_seed(seed)
    student = placed(Student(encoder_decoder=settings.encoder_decoder), device)
    student.train()
    teacher = placed(teacher, device)
    optimiser = torch.optim.SGD(
        student.parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
    )
    scheduler = loop.scheduler(optimiser, settings.schedule, settings.steps)

    def step() -> Tensor:
        batch = synthesis.batch(settings.batch)
        with autocast(device, settings.precision):
            with torch.no_grad():
                target = teacher(normalise(batch.normal).contiguous(memory_format=torch.channels_last))
            seen = batch.damaged if settings.denoising else batch.normal
            output = student(normalise(seen).contiguous(memory_format=torch.channels_last))
        losses = student_loss(target, output)  # [B]
        loss = losses.sum() if settings.reduction == "sum" else losses.mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        scheduler.step()
        return losses.detach().mean()[None]

    rows = loop.run("student", settings.steps, COLUMNS, step)
    return student.eval(), rows


def stage(category: str) -> None:
    """The stage `student`: writes build/<category>/student.safetensors and student-loss.csv."""
    settings = read_section("student", StudentSettings, category=category)
    start = prepare(category, "student")
    student, rows = train(start.teacher, start.synthesis, settings, seed=start.seed, device=start.device)
    loop.write_losses(build_dir(category) / "student-loss.csv", COLUMNS, rows)
    save_student(build_dir(category) / STUDENT, student, record(category, student=settings))
