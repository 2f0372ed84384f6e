"""Both training stages against the naive loop and against the machine's own matrix products, in one process."""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from destseg.bench.machine import Machine, describe, load, peak_gflops, peak_memory_mb, timed
from destseg.bench.naive import Naive, write_pictures
from destseg.dataset.images import ImageSettings, load_all
from destseg.model.device import dtype_of, tune
from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.training import loop, segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

TEXTURES = 16  # files of each side of the comparison


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """One stage; rates are images a second."""

    images_per_s: float
    """By the median step."""
    spread: tuple[float, float]
    """By the slowest and by the fastest one."""
    naive_images_per_s: float | None
    ratio: float | None
    gflop_per_image: float
    """What our step computes, counted: convolutions and matrix products, forward and backward."""
    fraction_of_peak: float
    """Of the matrix product's rate right before, over the whole step, with all that is no arithmetic."""
    outside_arithmetic: float
    """Share of the step that is neither forward nor backward pass: making the batch, the optimiser. Where a GPU waits
    for Python between the operations of a pass, that counts as the pass."""


@dataclass(frozen=True, kw_only=True)
class TrainFigures:
    """What was measured, on which machine."""

    machine: Machine
    size: int
    batch: int
    width: int
    images: int
    precision: str
    peak_gflops: float
    """Rate of a square matrix product in that precision, measured before every step, median."""
    stage1: StageFigures
    stage2: StageFigures
    peak_memory_mb: float
    """Of the whole process on a processor, allocated on a GPU; read before the naive loop begins."""
    paper_s: float | None
    """Wall time of the paper's 1,000 + 4,000 steps, where it was asked for."""
    load_before: float
    """How many processes ran on the machine in the minute before, on average."""

    def __str__(self) -> str:
        head = ["", "images/s", "slowest to fastest", "naive", "ratio", "of the peak", "outside arithmetic"]
        rows = [
            [
                name,
                f"{found.images_per_s:.2f}",
                f"{found.spread[0]:.2f} to {found.spread[1]:.2f}",
                "-" if found.naive_images_per_s is None else f"{found.naive_images_per_s:.2f}",
                "-" if found.ratio is None else f"{found.ratio:.2f}x",
                f"{found.fraction_of_peak:.0%}",
                f"{found.outside_arithmetic:.1%}",
            ]
            for name, found in (("stage 1", self.stage1), ("stage 2", self.stage2))
        ]
        lines = ["".join(f"{cell:>20}" for cell in row) for row in (head, *rows)]
        work = f"{self.precision}, batch {self.batch} of {self.size}x{self.size}, {self.images} images"
        peak = f"{work}; matrix product {self.peak_gflops:.0f} GFLOP/s, at most {self.peak_memory_mb:.0f} MB"
        paper = [] if self.paper_s is None else [f"the paper's 5,000 steps: {self.paper_s:.1f} s"]
        return "\n".join([str(self.machine), peak, *lines, *paper])


def train(
    device: torch.device,
    *,
    size: int = 256,
    batch: int = 8,
    width: int = 256,
    images: int = 16,
    steps: int = 5,
    naive: bool = True,
    workers: int = 0,
    paper: bool = False,
) -> TrainFigures:
    """`steps` timed steps of each stage, or blocks of 20 on a GPU, each beside one of the naive loop."""
    tune(device)
    before, dtype = load(), dtype_of("auto", device)
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=images, textures=TEXTURES, side=2 * size)
        start = time.perf_counter()
        prepare = _stages(Path(folder), device, size, batch, width)
        paper_s = _paper(prepare, start) if paper else None
        gflop = [_counted(make()) for make in prepare]
        memory = peak_memory_mb(device)
        plain = Naive(Path(folder), size=size, batch=batch, width=width, device=device, workers=workers)
        with closing(plain):
            theirs = (plain.student_step, plain.segmentation_step) if naive else (None, None)
            rounds = [_rounds(make(), other, device, dtype, steps) for make, other in zip(prepare, theirs, strict=True)]
    stage1, stage2 = (_figures(found, work, batch) for found, work in zip(rounds, gflop, strict=True))
    peak = statistics.median(one.peak for found in rounds for one in found)
    return TrainFigures(
        machine=describe(device),
        size=size,
        batch=batch,
        width=width,
        images=images,
        precision=str(dtype).removeprefix("torch."),
        peak_gflops=round(peak, 1),
        stage1=stage1,
        stage2=stage2,
        peak_memory_mb=round(memory),
        paper_s=paper_s,
        load_before=before,
    )


def _stages(folder: Path, device: torch.device, size: int, batch: int, width: int) -> list[Callable[[], loop.Training]]:
    """Both stages on the pictures of the folder, each made anew at every call, at the paper's length."""
    images, textures = (
        load_all(sorted((folder / name).iterdir()), ImageSettings(size=size)).to(device)
        for name in ("normal", "textures")
    )
    settings = SynthesisSettings(quarter_turns=True, max_degrees=5)
    synthesis = Synthesis(images, textures, settings, seeded(0, "bench"))
    teacher, frozen = new_teacher(), Student()
    first = StudentSettings(batch=batch, steps=1000)
    second = SegmentationSettings(batch=batch, width=width, steps=4000)
    return [
        lambda: student.prepared(teacher, synthesis, first, seed=0)[1],
        lambda: segmentation.prepared(teacher, frozen, synthesis, second, seed=0)[1],
    ]


def _paper(prepare: list[Callable[[], loop.Training]], start: float) -> float:
    for make in prepare:
        loop.run(make())
    return round(time.perf_counter() - start, 1)


def _counted(training: loop.Training) -> float:
    """GFLOP of one step."""
    with FlopCounterMode(display=False) as counter:
        training.step(training.synthesis.batch(training.batch))
    return float(counter.get_total_flops()) / 1e9


class _Round(NamedTuple):
    """GFLOP/s of a matrix product, and right after it the seconds of a step: whole, its passes alone, the naive one."""

    peak: float
    whole: float
    arithmetic: float
    naive: float | None


def _rounds(
    training: loop.Training,
    naive: Callable[[], object] | None,
    device: torch.device,
    dtype: torch.dtype,
    count: int,
) -> list[_Round]:
    """Side by side, as machines that others use too are faster at one time than at another."""
    size, block = training.batch, 20 if device.type == "cuda" else 1  # a GPU is not waited for after each step
    batch = training.synthesis.batch(size)

    def arithmetic() -> None:
        for _ in range(block):
            training.optimiser.zero_grad(set_to_none=True)
            training.loss(batch)[0].backward()

    def whole() -> None:
        for _ in range(block):
            training.step(training.synthesis.batch(size))

    def once() -> _Round:
        return _Round(
            peak=peak_gflops(device, dtype),
            whole=timed(whole, device) / block,
            arithmetic=timed(arithmetic, device) / block,
            naive=None if naive is None else timed(naive, device),
        )

    return [once() for _ in range(count + 1)][1:]


def _figures(rounds: list[_Round], gflop: float, batch: int) -> StageFigures:
    rates = sorted(batch / found.whole for found in rounds)
    naive = [batch / found.naive for found in rounds if found.naive is not None]
    return StageFigures(
        images_per_s=round(statistics.median(rates), 2),
        spread=(round(rates[0], 2), round(rates[-1], 2)),
        naive_images_per_s=round(statistics.median(naive), 2) if naive else None,
        ratio=round(statistics.median(rates) / statistics.median(naive), 2) if naive else None,
        gflop_per_image=round(gflop / batch, 2),
        fraction_of_peak=round(statistics.median(gflop / found.whole / found.peak for found in rounds), 3),
        outside_arithmetic=round(max(0.0, statistics.median(1 - one.arithmetic / one.whole for one in rounds)), 3),
    )
