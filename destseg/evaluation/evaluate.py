"""The stage `evaluate`: calibrate on held-out normal images, measure on the test set, write numbers and the report."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from destseg import __version__, files
from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings, load, load_all, load_mask
from destseg.dataset.layout import SEGMENTATION, STUDENT, Sample, build_dir, dataset_dir, samples
from destseg.evaluation import figures, gallery
from destseg.evaluation.calibrate import CalibrationSettings, calibrate
from destseg.evaluation.metrics import Metrics
from destseg.evaluation.report import Origin, Picture, picture, render
from destseg.evaluation.scored import Scored
from destseg.inference.assemble import assemble
from destseg.inference.scorer import Scorer, Scores, TorchScorer
from destseg.model.calibration import Calibration
from destseg.model.device import device
from destseg.settings import read_params, read_section
from destseg.storage import versions

CHUNK = 64  # images decoded at once: 50 MB at 256x256
_SHOWN_SETTINGS = (
    "seed",
    "image",
    "split",
    "teacher",
    "texture",
    "synthesis",
    "student",
    "segmentation",
    "calibration",
)
log = logging.getLogger(__name__)


def evaluate(category: str) -> Metrics:
    """Writes metrics.json, calibration.json and evaluation/ below build/<category>; returns the metrics.

    Without defect images in the test set the metrics are null; without calibration images the calibration is.
    """
    image = read_section("image", ImageSettings, category=category)
    settings = read_section("calibration", CalibrationSettings, category=category)
    network, teacher = assemble(category)
    scorer = TorchScorer(network, device())
    accepted = read_accepted(category)

    held_out = accepted.paths(accepted.calibration)
    calibration = calibrate(*_score(scorer, held_out, image, "calibration"), settings) if held_out else None
    scored = _score_test_set(scorer, category, image)
    log.info("measuring %d test images", len(scored.samples))
    metrics = scored.metrics()

    build = build_dir(category)
    origin = Origin(
        category=category,
        dataset_version=_dataset_version(category),
        teacher=teacher,
        training_images=len(accepted.training),
        files={name: files.sha256(build / name) for name in (STUDENT, SEGMENTATION)},
        settings=_shown_settings(category),
        destseg=__version__,
    )
    with files.replacing(build / "evaluation") as folder:
        _write_folder(folder, origin, scored, calibration, image)
    _write_json(build / "calibration.json", calibration.to_dict() if calibration else None)
    _write_json(build / "metrics.json", {**metrics.to_dict(), **scored.counts(calibration)})
    return metrics


def _score(scorer: Scorer, paths: Sequence[Path], image: ImageSettings, part: str) -> Scores:
    """Scores [N] and maps [N, S, S] of image files, a chunk in memory at a time."""
    scores, maps = np.empty(len(paths)), np.empty((len(paths), image.size, image.size), dtype=np.float32)
    for start in range(0, len(paths), CHUNK):
        chunk = slice(start, start + CHUNK)
        scores[chunk], maps[chunk] = scorer.score(load_all(paths[chunk], image))
        log.info("scored %d of %d %s images", min(start + CHUNK, len(paths)), len(paths), part)
    return scores, maps


def _score_test_set(scorer: Scorer, category: str, image: ImageSettings) -> Scored:
    directory = dataset_dir(category)
    found: list[Sample] = samples(directory, "test") if (directory / "test").is_dir() else []
    masks = np.zeros((len(found), image.size, image.size), dtype=np.bool_)
    for index, sample in enumerate(found):  # before the scoring, so that a missing mask is said at once
        if sample.mask is not None:
            masks[index] = load_mask(sample.mask, image.size)
    scores, maps = _score(scorer, [sample.path for sample in found], image, "test")
    return Scored(samples=found, scores=scores, maps=maps, masks=masks)


def _write_folder(
    folder: Path, origin: Origin, scored: Scored, calibration: Calibration | None, image: ImageSettings
) -> None:
    """curves/, heatmaps/, scores.json and report.html."""
    folder.mkdir()
    (folder / "curves").mkdir()
    for name, points in _curves(scored).items():
        _write_json(folder / "curves" / f"{name}.json", points)
    _write_json(folder / "scores.json", _verdicts(scored, calibration))
    pictures = _write_heatmaps(folder / "heatmaps", scored, calibration, image)
    files.write_text(folder / "report.html", render(origin, scored, calibration, pictures))


def _write_heatmaps(
    folder: Path, scored: Scored, calibration: Calibration | None, image: ImageSettings
) -> list[tuple[str, list[Picture]]]:
    folder.mkdir()
    shown = gallery.groups(scored)
    names = gallery.file_names(scored, [index for group in shown for index in group.images])
    uris = {}
    for index, name in names.items():
        photograph = load(scored.samples[index].path, image)
        sheet = figures.triptych(photograph, scored.masks[index], scored.maps[index], calibration)
        sheet.save(folder / name)
        uris[index] = figures.data_uri(sheet)
    return [(group.title, [picture(scored, i, calibration, uris[i]) for i in group.images]) for group in shown]


def _curves(scored: Scored) -> dict[str, list[dict[str, float]]]:
    """Points of the pixel curves for `dvc plots`, by the names of their axes."""
    found = {
        "roc": (("fpr", "tpr"), scored.pixels.pixels.roc()),
        "pr": (("recall", "precision"), scored.pixels.pixels.precision_recall()),
        "pro": (("fpr", "pro"), scored.pixels.pro_curve()),
    }
    return {
        name: [{axes[0]: float(x), axes[1]: float(y)} for x, y in zip(*curve, strict=True)]
        for name, (axes, curve) in found.items()
    }


def _verdicts(scored: Scored, calibration: Calibration | None) -> list[dict[str, Any]]:
    """For each test image: name, kind, score, anomalous (null without a threshold)."""
    return [
        {
            "name": sample.name,
            "kind": sample.kind,
            "score": score,
            "anomalous": None if calibration is None else calibration.is_anomalous(score),
        }
        for sample, score in zip(scored.samples, scored.scores.tolist(), strict=True)
    ]


def _dataset_version(category: str) -> str:
    tracked = versions.pointer(category).is_file()
    return versions.dataset_version(Path(), category) if tracked else "none (the dataset is not tracked by DVC)"


def _shown_settings(category: str) -> dict[str, Any]:
    """What the model was made with, as params.yaml has it: shown, not interpreted."""
    params = read_params()
    overrides = (params.get("categories") or {}).get(category) or {}
    shown: dict[str, Any] = {}
    for section in _SHOWN_SETTINGS:
        value = params.get(section)
        if isinstance(value, dict | None):
            merged = {**(value or {}), **(overrides.get(section) or {})}
            shown |= {f"{section}.{name}": setting for name, setting in merged.items()}
        else:
            shown[section] = value
    return shown


def _write_json(path: Path, content: Any) -> None:
    files.write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
