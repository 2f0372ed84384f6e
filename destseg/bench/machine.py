"""The machine that a figure was measured on, its rate of matrix products, operations, time and memory of a call."""

import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import torch
from torch.utils.flop_counter import FlopCounterMode

from destseg import __version__
from destseg.model.device import has_bfloat16
from destseg.model.machine import name, processor


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Stands beside every figure."""

    device: str
    processor: str = field(default_factory=processor)
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    torch: str = torch.__version__
    destseg: str = __version__
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    def __str__(self) -> str:
        return f"{self.device}, {self.processor}, {self.cores} cores, torch {self.torch}"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, smallest and largest of what was measured in rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 2) -> Self:
        """Rounded to `digits` behind the point."""
        found = sorted(values)
        low, median, high = (round(value, digits) for value in (found[0], statistics.median(found), found[-1]))
        return cls(median=median, low=low, high=high)


def describe(device: torch.device) -> Machine:
    """The machine, with the GPU's name where that is what runs."""
    return Machine(device=name(device))


def load() -> float:
    """How many processes ran on the machine in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def seconds(work: Callable[[], object], device: torch.device, *, repeats: int = 5) -> list[float]:
    """Wall time of each of `repeats` calls after one to warm up; the device is waited for."""
    return [timed(work, device) for _ in range(repeats + 1)][1:]


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call; the device is waited for."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def gflop(work: Callable[[], object]) -> float:
    """What one call computes in convolutions and matrix products, forward and backward, in 10^9 operations."""
    backward = {torch.ops.aten.convolution_backward: _of_gradients}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9


def _of_gradients(*shapes: Any, **_: Any) -> int:
    """Each gradient costs what the convolution does: torch counts a depthwise one as if it were dense."""
    gradient, _x, weight, *_rest, mask = shapes
    return int(2 * math.prod([*gradient, *weight[1:]]) * sum(mask[:2]))


def peak_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Best of five square matrix products in `dtype`, in 10^9 multiply and add operations a second."""
    size = 8192 if device.type == "cuda" else 2048
    if dtype == torch.bfloat16 and not has_bfloat16(device):
        size = 256  # emulated, at a hundredth of the rate
    a = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(seconds(lambda: a @ a, device)) / 1e9


def peak_memory_mb(device: torch.device | None = None) -> float:
    """Most memory that this process held so far, or allocated on a GPU, in 10^6 bytes."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # macOS counts bytes, Linux kibibytes
