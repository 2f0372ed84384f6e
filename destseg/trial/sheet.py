"""The contact sheet: of each kind of test image a row from its lowest to its highest score, with heatmaps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from destseg.dataset.images import load, load_mask
from destseg.dataset.layout import GOOD, Sample, build_dir, dataset_dir
from destseg.evaluation.figures import overlay
from destseg.evaluation.scored import SYNTHETIC
from destseg.files import replacing
from destseg.inference.predictor import Predictor
from destseg.model.device import device
from destseg.validation.verdict import counted

MADE = "acceptance"  # below build/<category>: synthetic defects
COLUMNS, CELL, GAP = 5, 200, 12  # pixels
_INK, _PAPER, _FAINT, _WRONG = "#1c1c1c", "#ffffff", "#5f6b73", "#b3261e"
_KINDS = 15  # rows
KINDS = {"surface": "a flaw in the product's own surface", "texture": "foreign matter on it"}
Row = dict[str, Any]


def sheet(category: str, out: Path) -> None:
    """Writes `out`, a PNG, from what `evaluate` and `package` wrote in the working directory."""
    rows: list[Row] = json.loads((build_dir(category) / "evaluation/scores.json").read_text(encoding="utf-8"))
    predictor = Predictor.load(build_dir(category) / "package", device())
    synthetic = any(row["name"].startswith(f"{SYNTHETIC}/") for row in rows)
    head = f"{category}: what the model marks"
    if synthetic:
        head = f"{category}: what the model marks of SYNTHETIC defects, drawn onto good photographs that did not train"
    parts = [
        _text(head, size=18),
        _text(
            "Above the photograph, below it the heatmap: orange and red is what the model marks, blue the outline of "
            f"the {'synthetic' if synthetic else 'true'} defect. Each row: from the lowest score to the highest.",
            size=12,
            ink=_FAINT,
        ),
    ]
    kinds = sorted({row["kind"] for row in rows}, key=lambda kind: (kind == GOOD, kind))
    for kind in [*kinds[: _KINDS - 1], *kinds[_KINDS - 1 :][-1:]]:  # the last one is `good`
        of_kind = sorted((row for row in rows if row["kind"] == kind), key=lambda row: float(row["score"]))
        parts.append(_text(_title(kind, of_kind, synthetic), size=15))
        parts.append(_row(_spread(of_kind), category, predictor))
    drawn = Image.new("RGB", (parts[0].width, sum(part.height for part in parts) + GAP), _PAPER)
    top = 0
    for part in parts:
        drawn.paste(part, (0, top))
        top += part.height
    with replacing(out) as fresh:
        drawn.save(fresh, "PNG")


def _spread(rows: Sequence[Row]) -> list[Row]:
    """Up to COLUMNS of them, the first and the last among them."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(COLUMNS, len(rows))).round().astype(int))
    return [rows[place] for place in places]


def _title(kind: str, rows: Sequence[Row], synthetic: bool) -> str:
    noun = "image" if kind == GOOD or not synthetic else "synthetic defect"
    meaning = f" ({KINDS[kind]})" if synthetic and kind in KINDS else ""
    said = f"{kind}{meaning}: {counted(len(rows), noun)}"
    if kind == GOOD and all(row["name"].startswith("train/") for row in rows):
        return f"{said}, held out; the threshold comes from them"
    rejected = [row["anomalous"] for row in rows]
    if None in rejected:
        return said
    return f"{said}, {sum(rejected)} {'falsely rejected' if kind == GOOD else 'found'}"


def _row(rows: Sequence[Row], category: str, predictor: Predictor) -> Image.Image:
    samples = [_sample(row, category) for row in rows]
    maps = [found.map for found in predictor.predict([sample.path for sample in samples])]
    drawn = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, 2 * CELL + 42), _PAPER)
    for column, (row, sample, map_) in enumerate(zip(rows, samples, maps, strict=True)):
        pixels = load(sample.path, predictor.image)
        truth = None if sample.mask is None else load_mask(sample.mask, predictor.image.size)
        heat = overlay(pixels, map_, predictor.card.calibration, truth)
        left = GAP + column * (CELL + GAP)
        for place, picture in enumerate((Image.fromarray(pixels), heat)):
            drawn.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (left, place * (CELL + 2)))
        verdict, wrong = _verdict(row)
        pen = ImageDraw.Draw(drawn)
        pen.text((left, 2 * CELL + 6), _fitted(sample.path.name, 11), fill=_FAINT, font=ImageFont.load_default(11))
        said = f"score {row['score']:.3g}{verdict}"
        pen.text((left, 2 * CELL + 20), said, fill=_WRONG if wrong else _INK, font=ImageFont.load_default(12))
    return drawn


def _verdict(row: Row) -> tuple[str, bool]:
    """(words, whether it is wrong)."""
    if row["anomalous"] is None:
        return "", False
    if row["kind"] == GOOD:
        return (", falsely rejected", True) if row["anomalous"] else (", accepted", False)
    return (", found", False) if row["anomalous"] else (", missed", True)


def _sample(row: Row, category: str) -> Sample:
    """The image of a row of scores.json, by its name there."""
    split, kind, file = row["name"].split("/")
    if split == SYNTHETIC:
        made = build_dir(category) / MADE
        return Sample(path=made / row["name"], split=split, kind=kind, mask=made / "truth" / kind / file)
    data = dataset_dir(category)
    mask = None if kind == GOOD else data / "ground_truth" / kind / f"{Path(file).stem}_mask.png"
    return Sample(path=data / row["name"], split=split, kind=kind, mask=mask)


def _text(text: str, *, size: int, ink: str = _INK) -> Image.Image:
    image = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, size + 18), _PAPER)
    ImageDraw.Draw(image).text((GAP, 12), text, fill=ink, font=ImageFont.load_default(size))
    return image


def _fitted(label: str, size: int) -> str:
    """The end of a name that is too long."""
    font = ImageFont.load_default(size)
    while font.getlength(label) > CELL:
        label = f"…{label[2:]}" if label.startswith("…") else f"…{label[1:]}"
    return label
