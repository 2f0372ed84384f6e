"""Scoring with the compact network beside the paper's: eager in both precisions, and the exported file, in turns."""

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from destseg import __version__
from destseg.bench.compact_train import DTYPES, spread
from destseg.bench.machine import Machine, Spread, describe, gflop, load, peak_gflops, timed
from destseg.bench.naive import write_pictures
from destseg.bench.stages import BACKBONES, PATCHES, WIDTHS, pictures
from destseg.inference.export import export_onnx
from destseg.inference.onnx_scorer import OnnxScorer
from destseg.inference.scorer import Scorer, Scores, TorchScorer
from destseg.model.blocks import kaiming_init
from destseg.model.card import ModelCard
from destseg.model.device import has_bfloat16, tune
from destseg.model.network import DeSTSeg
from destseg.model.student import Network
from destseg.training.precision import BOTH

EXPORTS = ("onnx", "onnxscript", "onnxruntime")  # what it takes to write the file and to run it
EAGER = "torch, float32"


@dataclass(frozen=True, kw_only=True)
class Way:
    """One network, run in one way."""

    network: Network
    runs: str
    """torch, float32; torch, bfloat16; onnxruntime, float32: the exported file."""
    images_per_s: Spread
    milliseconds: float
    """From a batch to its scores and maps in the memory of the processor, median."""
    gflop_per_image: float
    fraction_of_peak: float
    """Of the matrix product's rate in that precision in the same round."""
    score_error: float
    """Largest difference of a score from that of the same untrained network in torch and float32."""
    map_error: float
    """The same for a pixel of a map."""


@dataclass(frozen=True, kw_only=True)
class CompactInference:
    """What was measured, on which machine; images of the model's size, decoded before."""

    machine: Machine
    size: int
    batch: int
    width: int
    peak_gflops: dict[str, float]
    """Rate of a square matrix product by precision, measured in every round, median."""
    ways: list[Way]
    best: dict[Network, str]
    """By network: the fastest way."""
    ratio_float32: Spread
    """Compact's rate over the paper's network's, both in torch and float32, round by round."""
    ratio_best: Spread
    """The same, each network in its fastest way."""
    load_before: float
    """How many processes ran on the machine in the minute before, on average."""

    def __str__(self) -> str:
        return "\n".join([str(self.machine), "", *markdown(asdict(self))])


class _Round(NamedTuple):
    """GFLOP/s by precision, and the seconds of a batch by network and way."""

    peaks: dict[str, float]
    seconds: dict[tuple[Network, str], float]


def infer(device: torch.device, *, size: int, batch: int, width: int, repeats: int) -> CompactInference:
    """`repeats` rounds of a batch through each network in each way; exported where onnxruntime is installed."""
    tune(device)
    before, widths = load(), {"compact": width, "paper": WIDTHS["paper"]}
    with tempfile.TemporaryDirectory(prefix="destseg-bench-") as folder:
        write_pictures(Path(folder), normals=batch, textures=1, side=2 * size)
        images = pictures(Path(folder), size, torch.device("cpu"))[0]
        scorers: dict[tuple[Network, str], Scorer] = {}
        for network in BACKBONES:
            scorers |= _scorers(network, widths[network], size, batch, device, Path(folder))
    found = {key: scorer.score(images) for key, scorer in scorers.items()}
    work = {network: gflop(partial(scorers[network, EAGER].score, images)) for network in BACKBONES}
    rounds = [_round(scorers, images, device) for _ in range(repeats + 1)][1:]
    best = {network: _best(network, rounds) for network in BACKBONES}
    in_float32, in_best = (
        Spread.of(one.seconds["paper", of["paper"]] / one.seconds["compact", of["compact"]] for one in rounds)
        for of in (dict.fromkeys(BACKBONES, EAGER), best)
    )
    return CompactInference(
        machine=describe(device),
        size=size,
        batch=batch,
        width=width,
        peak_gflops={one: round(statistics.median(r.peaks[one] for r in rounds), 1) for one in rounds[0].peaks},
        ways=[_way(key, rounds, work[key[0]], batch, found[key], found[key[0], EAGER]) for key in scorers],
        best=best,
        ratio_float32=in_float32,
        ratio_best=in_best,
        load_before=before,
    )


def _scorers(
    network: Network, width: int, size: int, batch: int, device: torch.device, folder: Path
) -> dict[tuple[Network, str], Scorer]:
    """The same untrained network in each way."""
    whole = DeSTSeg(width, network=network, backbone=BACKBONES[network], patches=PATCHES[network]).eval()
    kaiming_init(whole.teacher)  # what the layers compute stays within the range that photographs give
    found: dict[tuple[Network, str], Scorer] = {
        (network, f"torch, {precision}"): TorchScorer(whole, device, batch=batch, precision=precision)
        for precision in BOTH
        if precision == "float32" or has_bfloat16(device)
    }
    if device.type == "cpu" and all(map(find_spec, EXPORTS)):
        card = ModelCard(
            category="bench",
            size=size,
            bit_depth=8,
            segmentation_width=width,
            network=network,
            backbone=BACKBONES[network],
            memory_patches=PATCHES[network],
            teacher={},
            calibration=None,
            training_images="",
            destseg=__version__,
        )
        export_onnx(whole, card, folder / f"{network}.onnx")
        found[network, "onnxruntime, float32"] = OnnxScorer(folder / f"{network}.onnx", batch=batch)
    return found


def _round(scorers: dict[tuple[Network, str], Scorer], images: torch.Tensor, device: torch.device) -> _Round:
    """In turns, as machines that others use too are faster at one time than at another."""

    def again(work: Callable[[], object]) -> float:
        """Of the second call: the first one takes the caches back from the other networks."""
        work()
        return timed(work, device)

    precisions = {_precision(runs) for _, runs in scorers}
    return _Round(
        {precision: peak_gflops(device, DTYPES[precision]) for precision in sorted(precisions)},
        {key: again(partial(scorer.score, images)) for key, scorer in scorers.items()},
    )


def _precision(runs: str) -> str:
    return runs.rpartition(" ")[2]


def _best(network: Network, rounds: list[_Round]) -> str:
    """The fastest way of a network."""
    ways = [runs for of, runs in rounds[0].seconds if of == network]
    return min(ways, key=lambda runs: statistics.median(found.seconds[network, runs] for found in rounds))


def _way(key: tuple[Network, str], rounds: list[_Round], work: float, batch: int, found: Scores, exact: Scores) -> Way:
    seconds = [one.seconds[key] for one in rounds]
    fractions = [work / one.seconds[key] / one.peaks[_precision(key[1])] for one in rounds]
    return Way(
        network=key[0],
        runs=key[1],
        images_per_s=Spread.of(batch / one for one in seconds),
        milliseconds=round(1000 * statistics.median(seconds), 2),
        gflop_per_image=round(work / batch, 2),
        fraction_of_peak=round(statistics.median(fractions), 3),
        score_error=float(f"{abs(found[0] - exact[0]).max():.2g}"),
        map_error=float(f"{abs(found[1] - exact[1]).max():.2g}"),
    )


def markdown(found: dict[str, Any]) -> list[str]:
    """Lines of a CompactInference as a dict, or as read from JSON: a row for each network in each way."""
    peaks = ", ".join(f"{precision} {peak:.0f}" for precision, peak in found["peak_gflops"].items())
    best = "; ".join(f"{network} {runs}" for network, runs in found["best"].items())
    lines = [
        f"Inference, {found['size']}x{found['size']}, batch {found['batch']}; matrix product in GFLOP/s: {peaks}",
        "",
        "| network, run by | images/s | ms a batch | GFLOP an image | of the peak | largest error of score and pixel |",
        "|---|---|---|---|---|---|",
    ]
    for way in found["ways"]:
        cells = [
            f"{way['network']}, {way['runs']}",
            spread(way["images_per_s"]),
            f"{way['milliseconds']}",
            f"{way['gflop_per_image']}",
            f"{way['fraction_of_peak']:.0%}",
            f"{way['score_error']:.1e} and {way['map_error']:.1e}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"Compact over the paper's network, both in torch and float32: {spread(found['ratio_float32'], 'x')}.",
        f"Each in its fastest way ({best}): {spread(found['ratio_best'], 'x')}.",
    ]
