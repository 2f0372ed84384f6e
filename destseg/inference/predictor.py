"""A packaged model, ready to score photographs: `destseg predict`, the registry's model and the line all use this."""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from destseg import Error
from destseg.dataset.images import ImageSettings, Source, batches
from destseg.inference.onnx_scorer import CARD_KEY, OnnxScorer
from destseg.inference.scorer import Scorer, TorchScorer
from destseg.model.card import CARD, ModelCard
from destseg.model.device import Precision
from destseg.model.network import DeSTSeg
from destseg.model.weights import MODEL, load_weights


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says of one image."""

    score: float
    """Anomaly score: the mean of the map's highest pixels."""
    anomalous: bool | None
    """Whether the score exceeds the calibrated threshold; None for a model without calibration.

    The threshold is one of float32 scores: a bfloat16 score beside it may lie on the other side.
    """
    map: np.ndarray
    """Anomaly map, float32 [S, S] in [0, 1]; without a segmentation net in [0, 8]."""


class Predictor:
    """Scores photographs given as bytes or paths."""

    def __init__(self, scorer: Scorer, card: ModelCard) -> None:
        self.scorer, self.card = scorer, card
        self.image = ImageSettings(size=card.size, bit_depth=card.bit_depth)

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | None = None,
        *,
        batch: int | None = None,
        precision: Precision = "float32",
    ) -> "Predictor":
        """From a packaged folder (model.safetensors and model.json) or from one exported file (model.onnx).

        `batch` images are scored at once, unless given as many as suit the device; only a folder has a choice of
        precision.
        """
        if path.suffix == ".onnx" and path.is_file():
            if precision != "float32":
                raise Error(
                    f"{path} fixes its own precision, float32, but precision is {precision!r}; leave it at float32, or "
                    f"give the packaged folder instead"
                )
            onnx = OnnxScorer(path, batch=batch)
            if CARD_KEY not in onnx.metadata:
                raise Error(f"{path} holds no model card; expected a file that `destseg package` wrote")
            return cls(onnx, ModelCard.from_json(onnx.metadata[CARD_KEY], str(path)))
        if not (path / CARD).is_file():
            raise Error(f"{path} is no model: expected a folder with {CARD} and {MODEL}, or a .onnx file")
        card = ModelCard.from_json((path / CARD).read_text(encoding="utf-8"), str(path / CARD))
        network = DeSTSeg(
            card.segmentation_width,
            inputs=card.segmentation_inputs,
            network=card.network,
            backbone=card.backbone,
            encoder_decoder=card.encoder_decoder,
            patches=card.memory_patches,
        )
        load_weights(path / MODEL, network)
        scorer = TorchScorer(network, device or torch.device("cpu"), batch=batch, precision=precision)
        return cls(scorer, card)

    def predict(self, sources: Iterable[Source], *, batch: int | None = None) -> Generator[Prediction, None, None]:
        """One prediction for each source, in order; a source that is no usable image is an ImageError.

        `batch` sources, the scorer's own number unless given, are decoded while the batch before is scored.
        """
        with closing(batches(sources, self.image, batch or self.scorer.batch)) as decoded:
            for images in decoded:
                scores, maps = self.scorer.score(images)
                for score, map_ in zip(scores.tolist(), maps, strict=True):
                    yield Prediction(score=score, anomalous=self._anomalous(score), map=map_)

    def _anomalous(self, score: float) -> bool | None:
        return None if self.card.calibration is None else self.card.calibration.is_anomalous(score)
