"""The loop of both training stages, its progress and its record."""

import csv
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from destseg import Error
from destseg.files import replacing

Schedule = Literal["constant", "cosine"]
log = logging.getLogger(__name__)
READ_EVERY = 50  # steps between two reads of the losses: each read waits for the device
SAY_EVERY = 5.0  # seconds between two lines of progress


def scheduler(optimiser: Optimizer, schedule: Schedule, steps: int) -> LambdaLR:
    """Steps once after each of `steps` optimiser steps; every group's learning rate keeps or follows a half cosine."""
    if schedule == "constant":
        return LambdaLR(optimiser, lambda _: 1.0)
    return LambdaLR(optimiser, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))


def run(name: str, steps: int, columns: Sequence[str], step: Callable[[], Tensor]) -> list[tuple[int, list[float]]]:
    """Calls `step` so many times; returns (step, losses) rows. `step` gives its losses as one tensor on the device."""
    pending: list[Tensor] = []
    rows: list[tuple[int, list[float]]] = []
    start = said = time.monotonic()
    for number in range(1, steps + 1):
        pending.append(step())
        now = time.monotonic()
        if number == steps or len(pending) == READ_EVERY or now - said >= SAY_EVERY:
            values = torch.stack(pending).tolist()  # the only wait for the device
            rows += [(number - len(values) + i + 1, value) for i, value in enumerate(values)]
            pending.clear()
            bad = [at for at, row in rows[-len(values) :] if not all(map(math.isfinite, row))]
            if bad:
                raise Error(f"{name}: the loss is not finite at step {bad[0]}; lower the learning rate")
        if now - said >= SAY_EVERY or number == steps:
            said = now
            losses = ", ".join(f"{column} {value:.4f}" for column, value in zip(columns, rows[-1][1], strict=True))
            left = (now - start) / number * (steps - number)
            log.info("%s: step %d of %d, %s, %.0f s left", name, number, steps, losses, left)
    return rows


def write_losses(path: Path, columns: Sequence[str], rows: Sequence[tuple[int, list[float]]]) -> None:
    """The losses as CSV with a column `step`, for `dvc plots` and the registry."""
    with replacing(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *columns])
        writer.writerows([number, *(f"{value:.6g}" for value in values)] for number, values in rows)
