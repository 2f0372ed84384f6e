"""Both training stages against the naive loop and against the machine's own matrix products, in one process."""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from destseg import Error
from destseg.bench import compact_train
from destseg.bench.compact_train import DTYPES, CompactTraining
from destseg.bench.machine import Machine, describe, gflop, load, peak_gflops, peak_memory_mb, timed
from destseg.bench.naive import Naive, write_pictures
from destseg.bench.stages import WIDTHS, pictures, stages, step
from destseg.model.device import tune
from destseg.model.student import Network
from destseg.training import loop

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
    """That `auto` gave the stages; both are named where they differ."""
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
    network: Network = "paper",
    size: int = 256,
    batch: int = 8,
    width: int | None = None,
    images: int = 16,
    steps: int = 5,
    alone: bool = False,
    workers: int = 0,
    paper: bool = False,
) -> TrainFigures | CompactTraining:
    """`steps` timed steps of each stage, or blocks of 20 on a GPU, each beside one of the naive loop.

    Those of `compact` are beside the paper's network instead. `alone` leaves out what is compared with.
    """
    width = width or WIDTHS[network]
    if network == "compact":
        if workers or paper:
            raise Error("workers and paper belong to the bench of the network `paper`; leave them out, or network")
        return compact_train.train(device, size=size, batch=batch, width=width, images=images, steps=steps, alone=alone)
    tune(device)
    before = load()
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=images, textures=TEXTURES, side=2 * size)
        start = time.perf_counter()
        source = pictures(Path(folder), size, device)
        prepare = stages("paper", source, batch=batch, width=width, precision="auto")
        paper_s = _paper(prepare, start) if paper else None
        made = [make() for make in prepare]
        work = [gflop(partial(step, one)) for one in made]
        precisions = [one.precision for one in made]
        del made
        memory = peak_memory_mb(device)
        plain = Naive(Path(folder), size=size, batch=batch, width=width, device=device, workers=workers)
        with closing(plain):
            theirs = (None, None) if alone else (plain.student_step, plain.segmentation_step)
            rounds = [_rounds(make(), other, device, steps) for make, other in zip(prepare, theirs, strict=True)]
    stage1, stage2 = (_figures(found, computed, batch) for found, computed in zip(rounds, work, strict=True))
    peak = statistics.median(one.peak for found in rounds for one in found)
    return TrainFigures(
        machine=describe(device),
        size=size,
        batch=batch,
        width=width,
        images=images,
        precision=" and ".join(dict.fromkeys(precisions)),
        peak_gflops=round(peak, 1),
        stage1=stage1,
        stage2=stage2,
        peak_memory_mb=round(memory),
        paper_s=paper_s,
        load_before=before,
    )


def _paper(prepare: list[Callable[[], loop.Training]], start: float) -> float:
    for make in prepare:
        loop.run(make())
    return round(time.perf_counter() - start, 1)


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
            step(training)

    def once() -> _Round:
        return _Round(
            peak=peak_gflops(device, DTYPES[training.precision]),
            whole=timed(whole, device) / block,
            arithmetic=timed(arithmetic, device) / block,
            naive=None if naive is None else timed(naive, device),
        )

    return [once() for _ in range(count + 1)][1:]


def _figures(rounds: list[_Round], work: float, batch: int) -> StageFigures:
    rates = sorted(batch / found.whole for found in rounds)
    naive = [batch / found.naive for found in rounds if found.naive is not None]
    return StageFigures(
        images_per_s=round(statistics.median(rates), 2),
        spread=(round(rates[0], 2), round(rates[-1], 2)),
        naive_images_per_s=round(statistics.median(naive), 2) if naive else None,
        ratio=round(statistics.median(rates) / statistics.median(naive), 2) if naive else None,
        gflop_per_image=round(work / batch, 2),
        fraction_of_peak=round(statistics.median(work / found.whole / found.peak for found in rounds), 3),
        outside_arithmetic=round(max(0.0, statistics.median(1 - one.arithmetic / one.whole for one in rounds)), 3),
    )
