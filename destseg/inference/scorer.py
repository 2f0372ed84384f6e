"""Batches of images through the network: anomaly scores and anomaly maps, as numpy arrays."""

import logging
import time
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from destseg.model.device import Precision, dtype_of, enough_memory, placed, sent
from destseg.model.fold import folded
from destseg.model.network import DeSTSeg

log = logging.getLogger(__name__)
Scores = tuple[np.ndarray, np.ndarray]  # float64 [N] and float32 [N, S, S]
# On a processor; measured on 2 cores, 256x256, width 256: 2.56 images/s one at a time, 2.61 in batches of 2, 2.43 of 4,
# 2.20 of 8, 2.07 of 16.
BATCH = 2
BATCH_GPU = 32  # not measured
LESS = "end what else runs on it, or name another in DESTSEG_DEVICE; `destseg predict` takes a smaller --batch"


def default_batch(device: torch.device) -> int:
    """Images at once, unless the caller says how many."""
    return BATCH_GPU if device.type == "cuda" else BATCH


class Scorer(Protocol):
    """Scores uint8 RGB images [N, 3, S, S] of the model's size: float64 [N] and maps float32 [N, S, S]."""

    batch: int
    """Images at once."""

    def score(self, images: Tensor) -> Scores:
        """Any number of images; batched inside."""


class TorchScorer:
    """The network in torch, on one device: a folded copy, frozen, with convolutions in `precision`.

    Thresholds belong to float32 scores, which the exported files give too; bfloat16 is for speed.
    """

    def __init__(
        self, network: DeSTSeg, device: torch.device, *, batch: int | None = None, precision: Precision = "float32"
    ) -> None:
        self.network = placed(folded(network), device, dtype_of(precision, device))
        self.device, self.batch = device, batch or default_batch(device)

    @torch.inference_mode()
    def score(self, images: Tensor) -> Scores:
        """Logs a line every few seconds, since a test set can take minutes."""
        found, said, cudnn = Collected(), time.monotonic(), torch.backends.cudnn
        # TF32 would give scores that no exported file and no other machine gives; the other flags stay as they are.
        with (
            enough_memory(self.device, f"scoring {self.batch} images of {images.shape[-1]} pixels at once", LESS),
            cudnn.flags(True, cudnn.benchmark, cudnn.benchmark_limit, cudnn.deterministic, allow_tf32=False),
        ):
            for start in range(0, len(images), self.batch):
                part = sent(images[start : start + self.batch], self.device)
                found.add(*self.network(part))
                if time.monotonic() - said >= 5:
                    said = time.monotonic()
                    log.info("scored %d of %d images", start + len(part), len(images))
        return found.joined(images.shape[-1])


class Collected:
    """The scores of one batch after another, on the host; a GPU's batch is waited for while it computes the next."""

    def __init__(self) -> None:
        self.batches: list[Scores] = []
        self._copying: tuple[Tensor, Tensor, torch.cuda.Event | None] | None = None

    def add(self, scores: Tensor, maps: Tensor) -> None:
        """One batch, [B] and [B, S, S], which may not be computed yet."""
        # What a GPU copies without blocking goes to page-locked memory and is not there before `done`.
        copies = scores.double().to("cpu", non_blocking=maps.is_cuda), maps.to("cpu", non_blocking=maps.is_cuda)
        done = None
        if maps.is_cuda:
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(maps.device))
        self._finish()
        self._copying = (*copies, done)

    def joined(self, size: int) -> Scores:
        """All batches as one: scores [N], maps [N, size, size]; N is 0 where nothing was added."""
        self._finish()
        nothing = np.empty(0), np.empty((0, size, size), np.float32)
        scores, maps = zip(nothing, *self.batches, strict=True)
        return np.concatenate(scores), np.concatenate(maps)

    def _finish(self) -> None:
        if self._copying is not None:
            scores, maps, done = self._copying
            self._copying = None
            if done is not None:
                done.synchronize()
            self.batches.append((scores.numpy().copy(), maps.numpy().copy()))  # little memory may be page-locked
