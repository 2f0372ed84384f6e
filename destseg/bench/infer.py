"""Scoring with the whole network against the naive forward pass and the machine's own matrix products."""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from destseg import Error
from destseg.bench import compact_infer
from destseg.bench.compact_infer import CompactInference
from destseg.bench.machine import Machine, describe, gflop, load, peak_gflops, peak_memory_mb, timed
from destseg.bench.naive import Naive, write_pictures
from destseg.bench.stages import WIDTHS, pictures
from destseg.inference.scorer import TorchScorer
from destseg.model.device import Precision, dtype_of, tune
from destseg.model.network import DeSTSeg
from destseg.model.student import Network


@dataclass(frozen=True, kw_only=True)
class InferFigures:
    """What was measured, on which machine; images of the model's size, decoded before."""

    machine: Machine
    size: int
    batch: int
    width: int
    precision: str
    peak_gflops: float
    """Rate of a square matrix product in that precision, measured before every batch, median."""
    images_per_s: float
    """By the median batch."""
    spread: tuple[float, float]
    """By the slowest and by the fastest one."""
    milliseconds: float
    """From a batch to its scores and maps in the memory of the processor, median."""
    naive_images_per_s: float
    """In float32."""
    ratio: float
    gflop_per_image: float
    fraction_of_peak: float
    score_error: float
    """Largest difference of a score from that of the same untrained network in float32."""
    map_error: float
    """The same for a pixel of a map."""
    peak_memory_mb: float
    load_before: float
    """How many processes ran on the machine in the minute before, on average."""

    def __str__(self) -> str:
        work = f"{self.precision}, batch {self.batch} of {self.size}x{self.size}"
        return "\n".join(
            [
                str(self.machine),
                f"{work}; matrix product {self.peak_gflops:.0f} GFLOP/s",
                f"{self.images_per_s:.2f} images/s ({self.spread[0]:.2f} to {self.spread[1]:.2f}), "
                f"{self.milliseconds:.1f} ms a batch, {self.fraction_of_peak:.0%} of the peak",
                f"{self.ratio:.2f}x the naive forward pass in float32 ({self.naive_images_per_s:.2f} images/s)",
                f"largest difference from float32: score {self.score_error:.1e}, pixel {self.map_error:.1e}",
            ]
        )


def infer(
    device: torch.device,
    *,
    network: Network = "paper",
    size: int = 256,
    batch: int = 8,
    width: int | None = None,
    precision: Precision = "auto",
    repeats: int = 9,
) -> InferFigures | CompactInference:
    """`repeats` timed batches of ours, each beside one of the naive forward pass with the same weights.

    Those of `compact` are beside the paper's network, in every precision that the device has.
    """
    width = width or WIDTHS[network]
    if network == "compact":
        if precision != "auto":
            raise Error(f"precision is {precision}, but compact is measured in every one; leave it out")
        return compact_infer.infer(device, size=size, batch=batch, width=width, repeats=repeats)
    tune(device)
    before, dtype = load(), dtype_of(precision, device)
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=batch, textures=1, side=2 * size)
        images = pictures(Path(folder), size, torch.device("cpu"))[0]
        plain = Naive(Path(folder), size=size, batch=batch, width=width, device=device)
    whole = DeSTSeg(width)
    whole.teacher, whole.student, whole.segmentation = plain.teacher, plain.student, plain.segmentation
    exact = TorchScorer(whole, device, batch=batch, precision="float32").score(images)
    scorer = TorchScorer(whole, device, batch=batch, precision=precision)
    found = scorer.score(images)
    work = gflop(lambda: scorer.score(images))
    memory = peak_memory_mb(device)
    rounds = [
        (
            peak_gflops(device, dtype),
            timed(lambda: scorer.score(images), device),
            timed(lambda: plain.score(images), device),
        )
        for _ in range(repeats + 1)
    ][1:]
    rates = sorted(batch / ours for _, ours, _ in rounds)
    rate, naive = statistics.median(rates), statistics.median(batch / theirs for _, _, theirs in rounds)
    return InferFigures(
        machine=describe(device),
        size=size,
        batch=batch,
        width=width,
        precision=str(dtype).removeprefix("torch."),
        peak_gflops=round(statistics.median(peak for peak, _, _ in rounds), 1),
        images_per_s=round(rate, 2),
        spread=(round(rates[0], 2), round(rates[-1], 2)),
        milliseconds=round(1000 * statistics.median(ours for _, ours, _ in rounds), 2),
        naive_images_per_s=round(naive, 2),
        ratio=round(rate / naive, 2),
        gflop_per_image=round(work / batch, 2),
        fraction_of_peak=round(statistics.median(work / ours / peak for peak, ours, _ in rounds), 3),
        score_error=float(f"{abs(found[0] - exact[0]).max():.2g}"),
        map_error=float(f"{abs(found[1] - exact[1]).max():.2g}"),
        peak_memory_mb=round(memory),
        load_before=before,
    )
