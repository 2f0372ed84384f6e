"""Batches of images through the network: anomaly scores and anomaly maps, as numpy arrays."""

import logging
import time
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from destseg.model.device import placed
from destseg.model.network import DeSTSeg

log = logging.getLogger(__name__)
Scores = tuple[np.ndarray, np.ndarray]  # float64 [N] and float32 [N, S, S]


class Scorer(Protocol):
    """Scores uint8 RGB images [N, 3, S, S] of the model's size: float64 [N] and maps float32 [N, S, S]."""

    def score(self, images: Tensor) -> Scores:
        """Any number of images; batched inside."""


class TorchScorer:
    """The network in torch, float32, on one device."""

    def __init__(self, network: DeSTSeg, device: torch.device, *, batch: int = 8) -> None:
        self.network = placed(network.eval(), device)
        self.device, self.batch = device, batch

    @torch.inference_mode()
    def score(self, images: Tensor) -> Scores:
        """Logs a line every few seconds, since a test set can take minutes."""
        scores, maps, said = [], [], time.monotonic()
        for start in range(0, len(images), self.batch):
            # TF32 would give scores that no exported file and no other machine gives.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                score, map_ = self.network(images[start : start + self.batch].to(self.device))
            scores.append(score.double().cpu().numpy())
            maps.append(map_.cpu().numpy())
            if time.monotonic() - said >= 5:
                said = time.monotonic()
                log.info("scored %d of %d images", start + len(score), len(images))
        size = images.shape[-1]
        empty = np.empty((0, size, size), np.float32)
        return np.concatenate([np.empty(0), *scores]), np.concatenate([empty, *maps])
