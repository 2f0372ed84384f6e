"""The exported file through onnxruntime: the same scores without torch's network (parity: inference/package.py)."""

from pathlib import Path

import numpy as np
from torch import Tensor

from destseg import Error
from destseg.inference.scorer import BATCH, Scores

CARD_KEY = "destseg"  # of the file's metadata: the model card as JSON


class OnnxScorer:
    """model.onnx on the processor."""

    def __init__(self, path: Path, *, batch: int | None = None) -> None:
        import onnxruntime  # only who scores exported files needs it

        try:
            self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes have no common parent but this
            raise Error(f"{path} cannot be loaded by onnxruntime: {error}") from None
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        self.batch = batch or BATCH

    def score(self, images: Tensor) -> Scores:
        """uint8 [N, 3, S, S] -> float64 [N], float32 [N, S, S]."""
        size = images.shape[-1]
        scores, maps = [np.empty(0)], [np.empty((0, size, size), np.float32)]
        for start in range(0, len(images), self.batch):
            score, map_ = self.session.run(["score", "map"], {"image": images[start : start + self.batch].numpy()})
            scores.append(score.astype(np.float64))
            maps.append(map_)
        return np.concatenate(scores), np.concatenate(maps)
