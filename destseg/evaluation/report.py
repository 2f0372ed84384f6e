"""The evaluation as one HTML file that loads nothing: for the quality engineer who decides about the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from destseg.dataset.layout import GOOD
from destseg.evaluation.calibrate import CalibrationSettings, images_needed
from destseg.evaluation.charts import Line, line_chart, strip_chart
from destseg.evaluation.figures import colour_bar
from destseg.evaluation.meanings import MEANINGS
from destseg.evaluation.metrics import Metrics
from destseg.evaluation.origin import Origin
from destseg.evaluation.ranking import PRO_LIMIT, Curve
from destseg.evaluation.rates import CONFIDENCE, Rate, Rates
from destseg.evaluation.result import Evaluation
from destseg.evaluation.scored import Scored
from destseg.model.calibration import Calibration
from destseg.model.named import teacher_in_words


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
    found: Evaluation,
    calibration: Calibration | None,
    pictures: Sequence[tuple[str, Sequence[Picture]]],
) -> str:
    """The page; `pictures` are titled groups."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": _number, "share": _share, "interval": _interval, "setting": _setting}
    environment.filters["teacher"] = teacher_in_words
    return environment.get_template("report.html").render(
        origin=origin,
        found=found,
        counts=found.counts,
        meanings=MEANINGS,
        calibration=calibration,
        needed=_needed(calibration) if calibration else None,
        rows=_rows(found.rates, scored),
        confidence=CONFIDENCE,
        size=scored.maps.shape[-1],
        synthetic=scored.synthetic,
        calibrates=scored.has_calibration_images,
        charts=_charts(scored) if scored.defective.any() else [],
        strip=_strip(scored, calibration),
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


def _strip(scored: Scored, calibration: Calibration | None) -> str:
    """The scores behind the threshold above those of the test images."""
    held_out = [("calibration: held-out normal images", np.array(calibration.scores))] if calibration else []
    kinds = sorted(set(scored.kinds.tolist()), key=lambda kind: (kind != GOOD, kind))
    if scored.has_calibration_images:
        kinds.remove(GOOD)  # they are the row above
    split = "synthetic" if scored.synthetic else "test"
    rows = [(f"{'test' if kind == GOOD else split}: {kind}", scored.scores[scored.kinds == kind]) for kind in kinds]
    return strip_chart([*held_out, *rows], calibration.threshold if calibration else None)


def _rows(rates: Rates, scored: Scored) -> list[tuple[str, str, Rate]]:
    """(images, the wrong verdict, how often) of each group of test images, where it is known."""
    rows = [("all defects", "missed", rates.escapes)]
    if not scored.has_calibration_images:
        rows.insert(0, ("normal", "falsely rejected", rates.false_rejects))
    rows += [(kind, "missed", escapes) for kind, escapes in rates.by_type.items()]
    return [(images, verdict, rate) for images, verdict, rate in rows if rate is not None]


def _needed(calibration: Calibration) -> int:
    """Calibration images that could prove the target rate."""
    settings = CalibrationSettings(false_reject_rate=calibration.target_rate, confidence=calibration.confidence)
    return images_needed(settings)


def _number(metrics: Metrics, name: str) -> str:
    value = metrics.to_dict()[name]
    return "–" if value is None else f"{value:.4f}"


def _share(value: float) -> str:
    """0.0123 as 1.23 %, which no line break divides."""
    return f"{100 * value:.3g}\u00a0%"


def _interval(rate: Rate) -> str:
    """12 to 54 %, rounded outwards, so that it never promises more than it holds."""
    low, high = np.floor(1000 * rate.low) / 10, np.ceil(1000 * rate.high) / 10
    return f"{low:.3g} to {high:.3g}\u00a0%"


def _setting(value: object) -> str:
    """As params.yaml would have it."""
    return value if isinstance(value, str) else json.dumps(value)
