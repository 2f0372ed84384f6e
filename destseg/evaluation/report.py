"""The evaluation as one HTML file that loads nothing: for the quality engineer who decides about the model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from destseg.dataset.layout import GOOD
from destseg.evaluation.charts import Line, line_chart, strip_chart
from destseg.evaluation.figures import colour_bar
from destseg.evaluation.metrics import Metrics
from destseg.evaluation.ranking import PRO_LIMIT, Curve
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration

# metric: (name, what it says to someone who does not compute it)
_MEANINGS = {
    "image_auroc": ("Image AUROC", "how often a defect image scores above a normal one; 0.5 is chance"),
    "pixel_auroc": ("Pixel AUROC", "the same for defective and normal pixels"),
    "pixel_ap": ("Pixel AP", "how pure the marked area is, averaged over how much of the defects it covers"),
    "iap": ("IAP", "how pure the marked area is, averaged over how many of the defects are found"),
    "iap90": ("IAP@90", "how pure the marked area is once 90\u00a0% of the defects are found"),
    "pro": (
        "PRO",
        f"how much of each defect is covered, while up to {100 * PRO_LIMIT:.0f}\u00a0% of normal pixels are marked",
    ),
    "image_f1_max": ("Image F1-max", "balance of found and falsely rejected images at the best threshold in hindsight"),
    "pixel_f1_max": ("Pixel F1-max", "the same for defective and normal pixels"),
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the model and the images come from."""

    category: str
    dataset_version: str
    teacher: Mapping[str, str]
    """`source` and `sha256`."""
    training_images: int
    files: Mapping[str, str]
    """SHA-256 of each part of the model."""
    settings: Mapping[str, Any]
    """Sections of params.yaml with the category's overrides, as `section.setting`."""
    destseg: str
    """Version of this software."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image | truth | heatmap, and what the model made of it."""

    name: str
    score: float
    verdict: str
    """missed, found, falsely rejected, accepted; or defect, normal without a threshold."""
    wrong: bool
    uri: str


def render(
    origin: Origin,
    scored: Scored,
    calibration: Calibration | None,
    pictures: Sequence[tuple[str, Sequence[Picture]]],
) -> str:
    """The page; `pictures` are titled groups."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": _number, "share": _share}
    by_type = {kind: (int((scored.kinds == kind).sum()), scored.metrics_of(kind)) for kind in scored.defect_types}
    kinds = sorted(set(scored.kinds.tolist()), key=lambda kind: (kind != GOOD, kind))
    threshold = calibration.threshold if calibration else None
    return environment.get_template("report.html").render(
        origin=origin,
        metrics=scored.metrics(),
        meanings=_MEANINGS,
        by_type=by_type,
        missed=_missed(scored, calibration),
        counts=scored.counts(calibration),
        calibration=calibration,
        needed=_images_needed(calibration) if calibration else None,
        size=scored.maps.shape[-1],
        charts=_charts(scored) if scored.defective.any() else [],
        strip=strip_chart({kind: scored.scores[scored.kinds == kind] for kind in kinds}, threshold),
        pictures=pictures,
        colours=colour_bar(),
    )


def picture(scored: Scored, index: int, calibration: Calibration | None, uri: str) -> Picture:
    """One image of the test set with the verdict on it."""
    sample, score, defective = scored.samples[index], float(scored.scores[index]), bool(scored.defective[index])
    if calibration is None:
        verdict, wrong = "defect" if defective else "normal", False
    else:
        rejected = calibration.is_anomalous(score)
        wrong = rejected != defective
        verdict = ("found" if rejected else "missed") if defective else ("falsely rejected" if rejected else "accepted")
    return Picture(name=f"{sample.kind}/{sample.path.name}", score=score, verdict=verdict, wrong=wrong, uri=uri)


def _charts(scored: Scored) -> list[tuple[str, str, str]]:
    """(title, caption, SVG) of each chart."""
    ranking = scored.pixels
    roc = [_line("images", scored.images.roc()), _line("pixels", ranking.pixels.roc())]
    precision = [_line("pixels", ranking.pixels.precision_recall())]
    overlap = [_line("defects", ranking.pro_curve())]
    return [
        (
            "ROC",
            "found defects against false alarms",
            line_chart(roc, x_label="false-positive rate", y_label="true-positive rate"),
        ),
        ("Precision and recall", "of pixels", line_chart(precision, x_label="recall", y_label="precision")),
        (
            "Per-region overlap",
            "mean share of each defect that is marked",
            line_chart(overlap, x_label="false-positive rate", y_label="overlap", x_max=PRO_LIMIT),
        ),
    ]


def _line(name: str, curve: Curve) -> Line:
    return Line(name=name, x=curve[0], y=curve[1])


def _missed(scored: Scored, calibration: Calibration | None) -> dict[str, int]:
    if calibration is None:
        return {}
    missed = scored.defective & ~scored.rejected(calibration)
    return {kind: int((missed & (scored.kinds == kind)).sum()) for kind in scored.defect_types}


def _images_needed(calibration: Calibration) -> int:
    """Calibration images that prove the target rate, the highest of their scores being the threshold."""
    return math.ceil(math.log(1 - calibration.confidence) / math.log(1 - calibration.target_rate))


def _number(metrics: Metrics, name: str) -> str:
    value = metrics.to_dict()[name]
    return "–" if value is None else f"{value:.4f}"


def _share(value: float) -> str:
    """0.0123 as 1.2 %, which no line break divides."""
    return f"{100 * value:.2g}\u00a0%" if value < 0.995 else "100\u00a0%"
