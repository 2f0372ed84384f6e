"""Both training stages against the naive loop and against the machine's own matrix products, in one process."""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from destseg.bench.machine import Machine, describe, load, peak_gflops, peak_memory_mb, seconds
from destseg.bench.naive import Naive, write_pictures
from destseg.dataset.images import ImageSettings, load_all
from destseg.model.device import dtype_of, tune
from destseg.model.student import Student
from destseg.model.teacher import Teacher
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
    """Of `peak_gflops`, over the whole step, with all that is no arithmetic."""
    outside_arithmetic: float
    """Share of the step that is neither forward nor backward pass: making the batch, the optimiser, Python."""


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
    """Best rate of a square matrix product in that precision, measured before and after the stages."""
    stage1: StageFigures
    stage2: StageFigures
    peak_memory_mb: float
    """Of the whole process on a processor, allocated on a GPU; the naive loop runs after it was read."""
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
    """`steps` timed steps of each stage, or blocks of 20 on a GPU, then as many of the naive loop."""
    tune(device)
    before, dtype = load(), dtype_of("auto", device)
    peak, block = peak_gflops(device, dtype), 20 if device.type == "cuda" else 1
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=images, textures=TEXTURES, side=2 * size)
        start = time.perf_counter()
        pictures, textures = (
            load_all(sorted(Path(folder, name).iterdir()), ImageSettings(size=size)).to(device)
            for name in ("normal", "textures")
        )
        settings = SynthesisSettings(quarter_turns=True, max_degrees=5)
        synthesis = Synthesis(pictures, textures, settings, seeded(0, "bench"))
        teacher, frozen = Teacher(), Student()
        first = StudentSettings(batch=batch, steps=1000)
        second = SegmentationSettings(batch=batch, width=width, steps=4000)
        prepare: list[Callable[[], loop.Training]] = [
            lambda: student.prepared(teacher, synthesis, first, seed=0)[1],
            lambda: segmentation.prepared(teacher, frozen, synthesis, second, seed=0)[1],
        ]
        paper_s = None
        if paper:
            for make in prepare:
                loop.run(make())
            paper_s = round(time.perf_counter() - start, 1)
        ours = [_ours(make(), device, steps, block) for make in prepare]
        memory = peak_memory_mb(device)
        theirs: list[list[float]] = [[], []]
        if naive:
            plain = Naive(Path(folder), size=size, batch=batch, width=width, device=device, workers=workers)
            with closing(plain):
                stages = (plain.student_step, plain.segmentation_step)
                theirs = [seconds(stage, device, repeats=steps) for stage in stages]
    peak = max(peak, peak_gflops(device, dtype))
    stage1, stage2 = (found.figures(batch, block, peak, slow) for found, slow in zip(ours, theirs, strict=True))
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


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Seconds of blocks of whole steps, seconds of blocks of forward and backward passes, GFLOP of one step."""

    whole: list[float]
    arithmetic: list[float]
    gflop: float

    def figures(self, batch: int, block: int, peak: float, naive: list[float]) -> StageFigures:
        rates = sorted(batch * block / time for time in self.whole)
        rate, arithmetic = statistics.median(rates), statistics.median(self.arithmetic)
        slow = batch / statistics.median(naive) if naive else None
        return StageFigures(
            images_per_s=round(rate, 2),
            spread=(round(rates[0], 2), round(rates[-1], 2)),
            naive_images_per_s=None if slow is None else round(slow, 2),
            ratio=None if slow is None else round(rate / slow, 2),
            gflop_per_image=round(self.gflop / batch, 2),
            fraction_of_peak=round(rate * self.gflop / batch / peak, 3),
            outside_arithmetic=round(max(0.0, 1 - arithmetic / statistics.median(self.whole)), 3),
        )


def _ours(training: loop.Training, device: torch.device, steps: int, block: int) -> _Measured:
    size = training.batch
    batch = training.synthesis.batch(size)

    def arithmetic() -> None:
        for _ in range(block):
            training.optimiser.zero_grad(set_to_none=True)
            training.loss(batch)[0].backward()

    def whole() -> None:
        for _ in range(block):
            training.step(training.synthesis.batch(size))

    with FlopCounterMode(display=False) as counter:
        training.step(batch)
    found = _Measured(
        whole=seconds(whole, device, repeats=steps),
        arithmetic=seconds(arithmetic, device, repeats=steps),
        gflop=counter.get_total_flops() / 1e9,
    )
    gc.collect()
    return found
