"""One packaged model, evaluated anew on an acceptance set: its part of comparison.json, its summary, its overlays."""

import logging
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from destseg import Error
from destseg.dataset.images import load, load_mask
from destseg.dataset.layout import Sample
from destseg.evaluation import figures
from destseg.evaluation.operating import OperatingPoints, operating_points
from destseg.evaluation.paired import place
from destseg.evaluation.pictures import Gallery
from destseg.evaluation.ranking import thin
from destseg.evaluation.rates import Rates, rates
from destseg.evaluation.scored import Scored
from destseg.evaluation.summary import Summary, summarise
from destseg.inference.predictor import Predictor
from destseg.model.calibration import Calibration
from destseg.model.device import device

TIMED = 15  # images scored one at a time for the latency
WARM_UP = 3  # of these, not counted: the first find cold caches
CURVE_POINTS = 200  # kept of each curve: a drawing on a page shows no more
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What remains of an evaluation once its maps are gone."""

    summary: Summary
    metrics: dict[str, float | None]
    rates: Rates
    points: OperatingPoints
    curves: dict[str, list[list[float]]]
    network: str
    teacher: dict[str, str]
    latency_ms: float

    @property
    def rejected(self) -> list[bool | None]:
        """The verdict on each image, None without a threshold."""
        calibration = self.summary.calibration
        scores: list[float] = self.summary.scores.tolist()
        return [None if calibration is None else calibration.is_anomalous(score) for score in scores]

    def verdicts(self) -> list[dict[str, Any]]:
        """score, rejected and place of each image, in the summary's order."""
        calibration, scores = self.summary.calibration, self.summary.scores
        places = [None] * len(scores) if calibration is None else place(scores, calibration).tolist()
        rows = zip(scores.tolist(), self.rejected, places, strict=True)
        return [dict(zip(("score", "rejected", "place"), row, strict=True)) for row in rows]

    def kinds(self) -> dict[str, dict[str, int | None]]:
        """Of each defect type, how many images there are and how many are caught; None without a threshold."""
        found: dict[str, dict[str, int | None]] = {}
        for kind, escapes in self.rates.by_type.items():
            images = int((self.summary.kinds == kind).sum())
            found[kind] = {"images": images, "caught": None if escapes is None else images - escapes.count}
        return found

    def to_dict(self) -> dict[str, Any]:
        """Its part of comparison.json, but for what the registry knows."""
        alarms, calibration = self.rates.false_rejects, self.summary.calibration
        known = None if calibration is None else calibration.to_dict()
        return {
            "network": self.network,
            "teacher": self.teacher,
            "metrics": self.metrics,
            "curves": self.curves,
            "kinds": self.kinds(),
            "false_rejects": None if alarms is None else {**vars(alarms), "rate": alarms.share},
            "calibration": None if known is None else {k: v for k, v in known.items() if k != "scores"},
            "latency_ms": self.latency_ms,
        }


def measure(model: Path, role: str, samples: Sequence[Sample], gallery: Gallery) -> Measured:
    """Scores the samples, which are sorted by name, and adds the overlays of `role` (challenger, champion)."""
    predictor = Predictor.load(model, device())
    scored = _score(predictor, role, samples)
    calibration = predictor.card.calibration
    _draw(gallery, role, scored, predictor, calibration)
    return Measured(
        summary=summarise(scored, calibration),
        metrics=scored.metrics().to_dict(),
        rates=rates(scored, calibration),
        points=operating_points(scored, calibration),
        curves=curves(scored),
        network=predictor.card.network,
        teacher=predictor.card.teacher,
        latency_ms=latency_ms(predictor, samples),
    )


def curves(scored: Scored) -> dict[str, list[list[float]]]:
    """Points of the images' ROC and of the pixels' precision over recall; none where there is no such curve."""
    found = {"image_roc": scored.images.roc(), "pixel_precision_recall": scored.pixels.pixels.precision_recall()}
    return {name: np.stack(thin(*curve, CURVE_POINTS), axis=1).round(4).tolist() for name, curve in found.items()}


def latency_ms(predictor: Predictor, samples: Sequence[Sample]) -> float:
    """Median time from a photograph's file to its verdict, one image at a time."""
    times = []
    for number in range(TIMED):
        begun = time.perf_counter()
        list(predictor.predict([samples[number % len(samples)].path]))
        times.append(time.perf_counter() - begun)
    return round(1000 * statistics.median(times[WARM_UP:]), 2)


def _score(predictor: Predictor, role: str, samples: Sequence[Sample]) -> Scored:
    size, count = predictor.card.size, len(samples)
    scores, maps = np.empty(count), np.empty((count, size, size), dtype=np.float32)
    masks = np.zeros((count, size, size), dtype=np.bool_)
    for index, sample in enumerate(samples):  # before the scoring, so that a missing mask is said at once
        if sample.mask is not None:
            masks[index] = load_mask(sample.mask, size)
    said = time.monotonic()
    for index, found in enumerate(predictor.predict([sample.path for sample in samples])):
        scores[index], maps[index] = found.score, found.map
        if time.monotonic() - said >= 5:
            said = time.monotonic()
            log.info("%s: scored %d of %d images", role, index + 1, count)
    if not np.isfinite(scores).all() or not np.isfinite(maps).all():
        raise Error(f"the {role} gives scores that are not finite; train it again")
    return Scored(samples=list(samples), scores=scores, maps=maps, masks=masks)


def _draw(gallery: Gallery, role: str, scored: Scored, predictor: Predictor, calibration: Calibration | None) -> None:
    for index, sample in enumerate(scored.samples):
        pixels = load(sample.path, predictor.image)
        if index not in gallery.photographs:
            gallery.photographs.add(index)
            gallery.add(f"{index}/photo", Image.fromarray(pixels))
            gallery.add(f"{index}/truth", figures.marked(pixels, scored.masks[index]))
        gallery.add(f"{index}/{role}", figures.overlay(pixels, scored.maps[index], calibration))
