"""Images a second of each training stage and of inference, on random images."""

from dataclasses import dataclass

import torch

from destseg.bench.machine import Machine, describe, peak_gflops, rate, seconds
from destseg.inference.scorer import TorchScorer
from destseg.model.device import has_bfloat16
from destseg.model.network import DeSTSeg
from destseg.model.student import Student
from destseg.model.teacher import Teacher
from destseg.training import segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured, on which machine; rates are images a second by the median call."""

    machine: Machine
    size: int
    batch: int
    precision: str
    peak_gflops: float
    rates: dict[str, float]

    def __str__(self) -> str:
        rows = [f"{name:<12} {value:>10.2f} images/s" for name, value in self.rates.items()]
        head = (
            f"{self.machine.device}, {self.machine.processor}, {self.machine.cores} cores, torch {self.machine.torch}"
        )
        work = f"{self.precision}, batch {self.batch} of {self.size}x{self.size}"
        return "\n".join([head, f"{work}; matrix product {self.peak_gflops:.0f} GFLOP/s", *rows])


def train(device: torch.device, *, size: int = 256, batch: int = 8, width: int = 256, steps: int = 3) -> Figures:
    """Both training stages, batches of synthetic defects included."""
    generator = seeded(0, "bench")
    images = torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8).to(device)
    synthesis = Synthesis(images, images.flip(0), SynthesisSettings(quarter_turns=True, max_degrees=5), generator)
    teacher, frozen = Teacher(), Student()
    first, second = (
        StudentSettings(steps=steps, batch=batch),
        SegmentationSettings(steps=steps, batch=batch, width=width),
    )
    stages = {
        "stage1": lambda: student.train(teacher, synthesis, first, seed=0),
        "stage2": lambda: segmentation.train(teacher, frozen, synthesis, second, seed=0),
    }
    rates = {name: rate(steps * batch, seconds(work, device, repeats=3)) for name, work in stages.items()}
    return _figures(device, size, batch, "bfloat16" if has_bfloat16(device) else "float32", rates)


def infer(device: torch.device, *, size: int = 256, batch: int = 8, width: int = 256) -> Figures:
    """The whole network, in the float32 that scores are made with."""
    scorer = TorchScorer(DeSTSeg(width), device, batch=batch)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    return _figures(
        device, size, batch, "float32", {"inference": rate(batch, seconds(lambda: scorer.score(images), device))}
    )


def _figures(device: torch.device, size: int, batch: int, precision: str, rates: dict[str, float]) -> Figures:
    peak = peak_gflops(device, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    return Figures(
        machine=describe(device), size=size, batch=batch, precision=precision, peak_gflops=round(peak, 1), rates=rates
    )
