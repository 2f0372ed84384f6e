"""The stage `evaluate`: calibrate on held-out normal images, measure on the test set, write numbers and the report."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from destseg import files
from destseg.dataset.accepted import read_accepted
from destseg.dataset.images import ImageSettings, batches, load, load_mask
from destseg.dataset.layout import Sample, build_dir, dataset_dir, samples
from destseg.evaluation import figures, gallery
from destseg.evaluation.calibrate import CalibrationSettings, calibrate
from destseg.evaluation.dest import recording
from destseg.evaluation.origin import Origin, origin
from destseg.evaluation.report import Picture, picture, render
from destseg.evaluation.result import Evaluation, measure
from destseg.evaluation.scored import Scored
from destseg.inference.assemble import assemble
from destseg.inference.scorer import Scores, TorchScorer
from destseg.model.calibration import Calibration
from destseg.model.device import device
from destseg.settings import read_section

CHUNK = 64  # images decoded at once: 13 MB at 256x256, and as many ahead
log = logging.getLogger(__name__)


def evaluate(category: str, *, made: Sequence[Sample] = ()) -> Evaluation:
    """Writes metrics.json, calibration.json and evaluation/ below build/<category>; returns what it measured.

    Without defect images in the test set the metrics are null; without calibration images the calibration is.
    `made`, an acceptance set with synthetic defects, is taken in place of the test set; all that is written says so.
    """
    image = read_section("image", ImageSettings, category=category)
    settings = read_section("calibration", CalibrationSettings, category=category)
    network, teacher = assemble(category)
    scorer = TorchScorer(network, device())
    accepted = read_accepted(category)

    held_out = accepted.paths(accepted.calibration)
    calibration = calibrate(*_score(scorer, held_out, image, "calibration"), settings) if held_out else None
    scored, dest = _score_test_set(scorer, category, image, made)
    log.info("measuring %d test images", len(scored.samples))
    found = measure(scored, dest, calibration)

    build = build_dir(category)
    lineage = origin(category, network.student.network, teacher, accepted, image=image, calibration=settings)
    with files.replacing(build / "evaluation") as folder:
        _write_folder(folder, lineage, scored, found, calibration, image)
    _write_json(build / "calibration.json", calibration.to_dict() if calibration else None)
    _write_json(build / "metrics.json", found.summary())
    return found


def _score(scorer: TorchScorer, paths: Sequence[Path], image: ImageSettings, part: str) -> Scores:
    """Scores [N] and maps [N, S, S] of image files, a chunk in memory at a time."""
    scores, maps = np.empty(len(paths)), np.empty((len(paths), image.size, image.size), dtype=np.float32)
    done = 0
    with closing(batches(paths, image, CHUNK)) as chunks:
        for images in chunks:
            chunk = slice(done, done + len(images))
            scores[chunk], maps[chunk] = scorer.score(images)
            done = chunk.stop
            log.info("scored %d of %d %s images", done, len(paths), part)
    return scores, maps


def _score_test_set(
    scorer: TorchScorer, category: str, image: ImageSettings, made: Sequence[Sample]
) -> tuple[Scored, Scored | None]:
    """The test set as the network scores it and, where it has a segmentation net, as it does without."""
    directory = dataset_dir(category)
    found = list(made) or (samples(directory, "test") if (directory / "test").is_dir() else [])
    masks = np.zeros((len(found), image.size, image.size), dtype=np.bool_)
    for index, sample in enumerate(found):  # before the scoring, so that a missing mask is said at once
        if sample.mask is not None:
            masks[index] = load_mask(sample.mask, image.size)
    paths = [sample.path for sample in found]
    if scorer.network.segmentation is None:
        scores, maps = _score(scorer, paths, image, "test")
        return Scored(samples=found, scores=scores, maps=maps, masks=masks), None
    with recording(scorer.network) as without:
        scores, maps = _score(scorer, paths, image, "test")
    scored = Scored(samples=found, scores=scores, maps=maps, masks=masks)
    scores, maps = without.joined(image.size)
    return scored, dataclasses.replace(scored, scores=scores, maps=maps)


def _write_folder(
    folder: Path,
    lineage: Origin,
    scored: Scored,
    found: Evaluation,
    calibration: Calibration | None,
    image: ImageSettings,
) -> None:
    """curves/, heatmaps/, scores.json, defect_types.json and report.html."""
    folder.mkdir()
    (folder / "curves").mkdir()
    for name, points in _curves(scored).items():
        _write_json(folder / "curves" / f"{name}.json", points)
    _write_json(folder / "scores.json", _verdicts(scored, calibration))
    _write_json(folder / "defect_types.json", found.defect_types())
    pictures = _write_heatmaps(folder / "heatmaps", scored, calibration, image)
    files.write_text(folder / "report.html", render(lineage, scored, found, calibration, pictures))


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
    """For each test image: name, SHA-256, kind, score, anomalous (null without a threshold)."""
    return [
        {
            "name": sample.name,
            "sha256": files.sha256(sample.path),
            "kind": sample.kind,
            "score": score,
            "anomalous": None if calibration is None else calibration.is_anomalous(score),
        }
        for sample, score in zip(scored.samples, scored.scores.tolist(), strict=True)
    ]


def _write_json(path: Path, content: Any) -> None:
    files.write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
