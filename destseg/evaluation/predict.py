"""`destseg predict`: scores as JSON lines, heatmaps as pictures."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from destseg import Error
from destseg.dataset.images import load
from destseg.dataset.layout import IMAGE_SUFFIXES
from destseg.evaluation.figures import overlay
from destseg.files import replacing
from destseg.inference.predictor import Prediction, Predictor
from destseg.model.device import Precision, device
from destseg.text import printable

_NAMED = 5  # files that are not images, in the line about them
log = logging.getLogger(__name__)


def predict(
    model: Path,
    given: Sequence[Path],
    out: Path | None = None,
    *,
    batch: int | None = None,
    precision: Precision = "float32",
) -> Iterator[dict[str, Any]]:
    """One line for each image: image, score, anomalous, threshold, and where its heatmap lies if `out` is given.

    Of a folder all images are scored, by `photographs`.
    """
    images = photographs(given, out)
    predictor = Predictor.load(model, device(), batch=batch, precision=precision)
    lines, digits = [], max(3, len(str(len(images) - 1)))
    for index, (image, prediction) in enumerate(zip(images, predictor.predict(images), strict=True)):
        line: dict[str, Any] = {
            "image": str(image),
            "score": round(prediction.score, 6),
            "anomalous": prediction.anomalous,
            "threshold": predictor.card.calibration.threshold if predictor.card.calibration else None,
        }
        if out is not None:
            line["heatmap"] = str(
                _write_heatmap(out / f"{index:0{digits}d}-{image.stem}.png", predictor, image, prediction)
            )
        lines.append(line)
        yield line
    if out is not None:
        with replacing(out / "scores.jsonl") as fresh:
            fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def photographs(given: Iterable[Path], out: Path | None = None) -> list[Path]:
    """The files given, and for a folder the images in it and its sub-folders, sorted, but for those below `out`.

    What is not an image by its suffix is named in one line of the log; a folder without images is an Error.
    """
    found: list[Path] = []
    others: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        files = _files(path, out)
        images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        others += [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
        if not images:
            ends = ", ".join(sorted({file.suffix.lower() or "no suffix" for file in files}))
            held = f", only files with {ends}" if files else ""
            raise Error(
                f"{path} holds no image{held}; expected files that end in one of {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        found += images
    if others:
        named = ", ".join(printable(str(file)) for file in others[:_NAMED])
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        log.warning("not images by their suffix, and left out: %s%s", named, more)
    return found


def _files(folder: Path, but: Path | None) -> list[Path]:
    """All files below `folder`, sorted, without hidden ones and those below `but`."""
    found = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        written = but is not None and (folder.resolve() / inner).is_relative_to(but.resolve())
        if path.is_file() and not hidden and not written:
            found.append(path)
    return found


def _write_heatmap(path: Path, predictor: Predictor, image: Path, prediction: Prediction) -> Path:
    picture: Image.Image = overlay(np.asarray(load(image, predictor.image)), prediction.map, predictor.card.calibration)
    with replacing(path) as fresh:
        picture.save(fresh)
    return path
