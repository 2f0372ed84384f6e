"""`destseg predict`: scores as JSON lines, heatmaps as pictures."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from destseg.dataset.images import load
from destseg.evaluation.figures import overlay
from destseg.files import replacing
from destseg.inference.predictor import Prediction, Predictor
from destseg.model.device import Precision, device


def predict(
    model: Path,
    images: Sequence[Path],
    out: Path | None = None,
    *,
    batch: int | None = None,
    precision: Precision = "float32",
) -> Iterator[dict[str, Any]]:
    """One line for each image: image, score, anomalous, threshold, and where its heatmap lies if `out` is given."""
    predictor = Predictor.load(model, device(), batch=batch, precision=precision)
    lines = []
    for index, (image, prediction) in enumerate(zip(images, predictor.predict(images), strict=True)):
        line: dict[str, Any] = {
            "image": str(image),
            "score": round(prediction.score, 6),
            "anomalous": prediction.anomalous,
            "threshold": predictor.card.calibration.threshold if predictor.card.calibration else None,
        }
        if out is not None:
            line["heatmap"] = str(_write_heatmap(out / f"{index:03d}-{image.stem}.png", predictor, image, prediction))
        lines.append(line)
        yield line
    if out is not None:
        with replacing(out / "scores.jsonl") as fresh:
            fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _write_heatmap(path: Path, predictor: Predictor, image: Path, prediction: Prediction) -> Path:
    picture: Image.Image = overlay(np.asarray(load(image, predictor.image)), prediction.map, predictor.card.calibration)
    with replacing(path) as fresh:
        picture.save(fresh)
    return path
