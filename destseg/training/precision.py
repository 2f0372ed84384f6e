"""In which precision a stage learns where its settings leave that to the machine: it is tried on the stage itself."""

import logging
import time
from collections.abc import Callable, Hashable
from typing import Literal

import torch

from destseg.model.device import dtype_of, has_bfloat16
from destseg.settings import read_environment
from destseg.training import parallel
from destseg.training.accelerate import CompileSettings
from destseg.training.loop import Training
from destseg.training.synthesis import Batch, Synthesis, seeded

log = logging.getLogger(__name__)
Chosen = Literal["float32", "bfloat16"]
BOTH: tuple[Chosen, ...] = ("float32", "bfloat16")
IMAGES = 4  # at most: with fewer, what bfloat16 costs once a step, to convert the weights, would weigh too much
ROUNDS = range(2, 6)  # in turns, the fastest of which counts: at least two, as the first one warms up
ENOUGH_S = 1.0  # of processor time; no further rounds after this
GAIN = 0.8  # bfloat16 rounds, so it has to save a fifth of the time
_CHOSEN: dict[Hashable, Chosen] = {}  # a second training of the same in this process learns in the same precision


def quicker(name: str, prepare: Callable[[Chosen], Training], synthesis: Synthesis, what: Hashable) -> Chosen:
    """The precision for a stage on the device of the synthesis, the same in every process that shares its batches.

    On a processor that has bfloat16 both are tried, forward and backward, on networks that `prepare` makes for it and
    that are thrown away. `what` is all that the time depends on, beside device and size of the images.
    """
    device = synthesis.device
    trying = device.type == "cpu" and has_bfloat16(device) and read_environment(CompileSettings).compile == "off"
    if not parallel.agreed(trying):  # a GPU; emulation, which is never faster; what takes a minute to compile
        return parallel.agreed("bfloat16" if dtype_of("auto", device) == torch.bfloat16 else "float32")
    key = name, str(device), synthesis.side, what
    if key not in _CHOSEN:
        single, half = _tried({precision: prepare(precision) for precision in BOTH}, synthesis.side)
        _CHOSEN[key] = parallel.agreed("bfloat16" if half < GAIN * single else "float32")
        if parallel.first():
            times = f"{1000 * single:.0f} ms of processor time in float32, {1000 * half:.0f} ms in bfloat16"
            log.info("%s: precision auto is %s (%s)", name, _CHOSEN[key], times)
    return _CHOSEN[key]


def _tried(trainings: dict[Chosen, Training], side: int) -> tuple[float, float]:
    """Processor seconds of the fastest forward and backward pass in float32 and in bfloat16."""
    images = min(IMAGES, trainings["float32"].batch // parallel.share()[1])
    normal, damaged = 255 * torch.rand(2, images, 3, side, side, generator=seeded(0, "precision"))
    batch = Batch(normal, damaged, (normal[:, :1] > 127).float())
    best, spent = dict.fromkeys(BOTH, float("inf")), 0.0
    for number in range(1, ROUNDS.stop):
        for precision, training in trainings.items():
            taken = processor_seconds(training, batch)
            best[precision], spent = min(best[precision], taken), spent + taken
        if parallel.agreed(number >= ROUNDS.start and spent > ENOUGH_S):
            break
    return best["float32"], best["bfloat16"]


def processor_seconds(training: Training, batch: Batch) -> float:
    """Of a forward and backward pass, all threads together: beside busy processes wall time would decide by chance."""
    training.optimiser.zero_grad(set_to_none=True)
    start = time.process_time()
    training.loss(batch)[0].backward()
    return time.process_time() - start
