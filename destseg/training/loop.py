"""The loop of both training stages, its progress and its record."""

import csv
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from destseg import Error
from destseg.files import replacing
from destseg.model.device import Precision, enough_memory
from destseg.training import parallel
from destseg.training.checkpoint import Checkpoint, State
from destseg.training.synthesis import Batch, Synthesis

OptimiserName = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
Row = tuple[int, list[float]]  # step, losses
log = logging.getLogger(__name__)
READ_EVERY = 50  # steps between two reads of the losses: each read waits for the device
SAY_EVERY = 5.0  # seconds between two lines of progress


def optimiser(
    name: OptimiserName, groups: Sequence[tuple[list[nn.Parameter], float]], *, momentum: float, weight_decay: float
) -> Optimizer:
    """Each group's parameters at its own learning rate; groups without parameters are left out."""
    given = [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters]
    if name == "sgd":
        return torch.optim.SGD(given, momentum=momentum, weight_decay=weight_decay, fused=True)
    return torch.optim.AdamW(given, weight_decay=weight_decay, fused=True)


def scheduler(optimiser: Optimizer, schedule: Schedule, steps: int) -> LambdaLR:
    """Steps once after each of `steps` optimiser steps; every group's learning rate keeps or follows a half cosine."""
    if schedule == "constant":
        return LambdaLR(optimiser, lambda _: 1.0)
    return LambdaLR(optimiser, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))


@dataclass(frozen=True, kw_only=True)
class Training:
    """One stage, ready to run: what learns, from what, by which loss."""

    name: str
    columns: Sequence[str]
    """Names of the losses that are recorded."""
    network: nn.Module
    """The part that learns."""
    optimiser: Optimizer
    scheduler: LambdaLR
    synthesis: Synthesis
    steps: int
    batch: int
    precision: Precision
    """In which the network learns, never auto."""
    loss: Callable[[Batch], tuple[Tensor, Tensor]]
    """What is descended on, and the losses of `columns` [C], both on the device."""
    least: int = 1
    """Smallest batch that the network can learn from."""

    def step(self, batch: Batch) -> Tensor:
        """One step of the optimiser; the losses [C] of the weights before it."""
        loss, losses = self.loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.scheduler.step()
        return losses.detach().clone()  # a CUDA graph writes the next step's to the same place

    def state(self) -> State:
        """All that changes, but for the synthesis' generator, which may be ahead."""
        return {name: getattr(self, name).state_dict() for name in ("network", "optimiser", "scheduler")}

    def load(self, state: State) -> None:
        """What `state` gave, and the generator of the synthesis."""
        for name in ("network", "optimiser", "scheduler"):
            getattr(self, name).load_state_dict(state[name])
        self.synthesis.generator.set_state(state["generator"].cpu())


def run(training: Training, checkpoint: Checkpoint | None = None) -> list[Row]:
    """Trains to the last step, from where the checkpoint ended; the rows of all steps."""
    doing = f"{training.name}.batch {training.batch} of images of {training.synthesis.side} pixels"
    with enough_memory(training.synthesis.device, doing, _less(training)):
        return _run(training, checkpoint)


def _less(training: Training) -> str:
    """What to set when a step takes too much memory."""
    processes = parallel.share()[1]
    smaller = training.batch // 2 // processes * processes
    if smaller >= training.least * processes:
        setting = f"{training.name}.batch to {smaller}"
    else:
        setting = ("synthesis.crop" if training.synthesis.settings.crop else "image.size") + " to a smaller number"
    return f"set {setting} in params.yaml, which changes the result and is therefore not done for you"


def _run(training: Training, checkpoint: Checkpoint | None) -> list[Row]:
    rows: list[Row] = []
    if checkpoint and (state := checkpoint.load(training.synthesis.device)):
        training.load(state)
        rows = [(number, losses) for number, losses in state["rows"]]
        del state  # a second copy of the weights
        log.info(
            "%s: going on after step %d, in %s, from %s", training.name, len(rows), training.precision, checkpoint.path
        )
    if parallel.agreed(len(rows)) != len(rows):
        raise Error(
            f"{training.name}: not every process can read {checkpoint and checkpoint.path}; share it, or delete it"
        )
    name, steps, before = training.name, training.steps, len(rows)
    pending: list[Tensor] = []
    start = said = time.monotonic()
    for number, (batch, generator) in enumerate(training.synthesis.batches(training.batch, steps - before), before + 1):
        pending.append(training.step(batch))
        now, last = time.monotonic(), number == steps
        save = checkpoint is not None and not last and checkpoint.due()
        if last or save or len(pending) == READ_EVERY or now - said >= SAY_EVERY:
            rows += _read(pending, len(rows) + 1, name)
            pending.clear()
        if save and checkpoint is not None:
            made = {"precision": training.precision, "generator": generator, "rows": rows}
            checkpoint.save({**training.state(), **made})
        if now - said >= SAY_EVERY or last:
            said = now
            left = (now - start) / (number - before) * (steps - number)
            if parallel.first():
                _say(training, rows[-1], left)
    return rows


def _say(training: Training, row: Row, left: float) -> None:
    number, values = row
    losses = ", ".join(f"{column} {value:.4f}" for column, value in zip(training.columns, values, strict=True))
    log.info("%s: step %d of %d, %s, %.0f s left", training.name, number, training.steps, losses, left)


def _read(pending: list[Tensor], first: int, name: str) -> list[Row]:
    values: list[list[float]] = torch.stack(pending).tolist()  # the only wait for the device
    rows = list(enumerate(values, first))
    if bad := [number for number, row in rows if not all(map(math.isfinite, row))]:
        raise Error(f"{name}: the loss is not finite at step {bad[0]}; lower the learning rate")
    return rows


def write_losses(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """The losses as CSV with a column `step`, for `dvc plots` and the registry."""
    with replacing(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *columns])
        writer.writerows([number, *(f"{value:.6g}" for value in values)] for number, values in rows)
