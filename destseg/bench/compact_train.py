"""Training of the compact network beside the paper's, as this project trains both, in one process and in turns."""

import statistics
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from destseg.bench.machine import Machine, Spread, describe, gflop, load, peak_gflops, peak_memory_mb, timed
from destseg.bench.naive import write_pictures
from destseg.bench.stages import WIDTHS, pictures, stages, step
from destseg.model.device import Precision, has_bfloat16, tune
from destseg.model.student import Network
from destseg.training.loop import Training
from destseg.training.precision import BOTH, Chosen

TEXTURES = 16
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class StageRate:
    """One stage of one network in one precision."""

    images_per_s: Spread
    gflop_per_image: float
    """Counted in one step: convolutions and matrix products, forward and backward."""
    fraction_of_peak: float
    """Of the matrix product's rate in that precision in the same round, over the whole step."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One network in one precision."""

    network: Network
    precision: Chosen
    stage1: StageRate
    stage2: StageRate
    both: Spread
    """Images a second through a step of each stage, one after the other."""


@dataclass(frozen=True, kw_only=True)
class CompactTraining:
    """What was measured, on which machine."""

    machine: Machine
    size: int
    batch: int
    width: int
    images: int
    peak_gflops: dict[str, float]
    """Rate of a square matrix product by precision, measured in every round, median."""
    ways: list[Way]
    auto: list[Precision]
    """The precision that `auto` gave the two stages of compact."""
    best: dict[Network, list[Chosen]]
    """By network: the faster precision of each stage."""
    ratio_float32: Spread | None
    """Compact's rate of both stages over the paper's network's, both in float32, round by round."""
    ratio_best: Spread | None
    """The same, each network in the faster precision of each stage."""
    peak_memory_mb: float
    """Of the process, read before the paper's network begins."""
    load_before: float
    """How many processes ran on the machine in the minute before, on average."""

    def __str__(self) -> str:
        return "\n".join([str(self.machine), "", *markdown(asdict(self))])


class _Round(NamedTuple):
    """GFLOP/s by precision, and of each network in each precision the seconds of a step of both stages."""

    peaks: dict[Chosen, float]
    seconds: dict[tuple[Network, Chosen], list[float]]


def train(
    device: torch.device, *, size: int, batch: int, width: int, images: int, steps: int, alone: bool
) -> CompactTraining:
    """`steps` rounds, or blocks of 20 steps on a GPU: each network in each precision, both stages; `alone`: compact."""
    tune(device)
    before, precisions = load(), [one for one in BOTH if one == "float32" or has_bfloat16(device)]
    runs: dict[tuple[Network, Chosen], list[Training]] = {}
    work: dict[Network, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=images, textures=TEXTURES, side=2 * size)
        source = pictures(Path(folder), size, device)
    auto = [make().precision for make in stages("compact", source, batch=batch, width=width, precision="auto")]
    widths: dict[Network, int] = {"compact": width} if alone else {"compact": width, "paper": WIDTHS["paper"]}
    memory = 0.0
    for network, channels in widths.items():
        for precision in precisions:
            made = [make() for make in stages(network, source, batch=batch, width=channels, precision=precision)]
            runs[network, precision] = made
            work[network] = [gflop(partial(step, training)) for training in made]
        memory = memory or peak_memory_mb(device)
    rounds = [_round(runs, device) for _ in range(steps + 1)][1:]
    single: dict[Network, list[Chosen]] = {network: ["float32", "float32"] for network in widths}
    best = {network: _best(network, precisions, rounds) for network in widths}
    ratios = [
        None
        if alone
        else Spread.of(_both(one, "paper", of["paper"]) / _both(one, "compact", of["compact"]) for one in rounds)
        for of in (single, best)
    ]
    return CompactTraining(
        machine=describe(device),
        size=size,
        batch=batch,
        width=width,
        images=images,
        peak_gflops={one: round(statistics.median(found.peaks[one] for found in rounds), 1) for one in precisions},
        ways=[_way(network, precision, rounds, work[network], batch) for network, precision in runs],
        auto=auto,
        best=best,
        ratio_float32=ratios[0],
        ratio_best=ratios[1],
        peak_memory_mb=round(memory),
        load_before=before,
    )


def _round(runs: dict[tuple[Network, Chosen], list[Training]], device: torch.device) -> _Round:
    """Side by side, as machines that others use too are faster at one time than at another."""
    block = 20 if device.type == "cuda" else 1  # a GPU is not waited for after each step

    def seconds(training: Training) -> float:
        def steps() -> None:
            for _ in range(block):
                step(training)

        return timed(steps, device) / block

    return _Round(
        {precision: peak_gflops(device, DTYPES[precision]) for _, precision in runs},
        {key: [seconds(training) for training in trainings] for key, trainings in runs.items()},
    )


def _both(found: _Round, network: Network, precisions: list[Chosen]) -> float:
    """Seconds of a step of each stage, each in its precision."""
    return sum(found.seconds[network, precision][stage] for stage, precision in enumerate(precisions))


def _best(network: Network, precisions: list[Chosen], rounds: list[_Round]) -> list[Chosen]:
    """The faster precision of each stage."""

    taken = [
        {one: statistics.median(found.seconds[network, one][stage] for found in rounds) for one in precisions}
        for stage in (0, 1)
    ]
    return [min(seconds, key=seconds.__getitem__) for seconds in taken]


def _way(network: Network, precision: Chosen, rounds: list[_Round], work: list[float], batch: int) -> Way:
    found = [(one.peaks[precision], one.seconds[network, precision]) for one in rounds]
    stage1, stage2 = (
        StageRate(
            images_per_s=Spread.of(batch / seconds[stage] for _, seconds in found),
            gflop_per_image=round(work[stage] / batch, 2),
            fraction_of_peak=round(
                statistics.median(work[stage] / seconds[stage] / peak for peak, seconds in found), 3
            ),
        )
        for stage in (0, 1)
    )
    both = Spread.of(batch / sum(seconds) for _, seconds in found)
    return Way(network=network, precision=precision, stage1=stage1, stage2=stage2, both=both)


def markdown(found: dict[str, Any]) -> list[str]:
    """Lines of a CompactTraining as a dict, or as read from JSON: a row for each network in each precision."""
    peaks = ", ".join(f"{precision} {peak:.0f}" for precision, peak in found["peak_gflops"].items())
    lines = [
        f"Training, {found['size']}x{found['size']}, batch {found['batch']}; matrix product in GFLOP/s: {peaks}",
        "",
        "| network, precision | stage 1, images/s | stage 2, images/s | both | GFLOP an image | of the peak |",
        "|---|---|---|---|---|---|",
    ]
    for way in found["ways"]:
        parts = way["stage1"], way["stage2"]
        rates = [spread(part["images_per_s"]) for part in parts]
        gflops, peak = (" and ".join(cells) for cells in zip(*map(_cells, parts), strict=True))
        cells = [f"{way['network']}, {way['precision']}", *rates, spread(way["both"]), gflops, peak]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"`precision: auto` of compact, stage 1 and 2: {' and '.join(found['auto'])}."]
    if found["ratio_best"]:
        best = "; ".join(f"{network} {' and '.join(of)}" for network, of in found["best"].items())
        lines += [
            f"Both stages of compact over the paper's network in float32: {spread(found['ratio_float32'], 'x')}.",
            f"Each in the faster precision of each stage ({best}): {spread(found['ratio_best'], 'x')}.",
        ]
    return lines


def _cells(stage: dict[str, Any]) -> tuple[str, str]:
    return f"{stage['gflop_per_image']}", f"{stage['fraction_of_peak']:.0%}"


def spread(found: dict[str, float], unit: str = "") -> str:
    """A Spread as a dict in words."""
    return f"{found['median']}{unit} ({found['low']} to {found['high']})"
