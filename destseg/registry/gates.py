"""The gates before promotion: each compares one measurement with a limit and says why it passed or not."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

CARD = "model.json"
LINEAGE = ("dataset_version", "commit", "training_key", "params_hash", "teacher", "image_list")


@dataclass(frozen=True, kw_only=True)
class PromotionSettings:
    """Who promotes, and what a candidate must reach; a minimum that is not set is not asked for."""

    policy: Literal["review", "auto"] = "review"
    """review: a person promotes; auto: after a retraining the challenger becomes champion if it passes every gate."""
    min_image_auroc: float | None = None
    """Least image AUROC on the acceptance set."""
    min_pixel_auroc: float | None = None
    """Least pixel AUROC."""
    min_pixel_ap: float | None = None
    """Least pixel average precision."""
    min_iap: float | None = None
    """Least instance average precision."""
    min_iap90: float | None = None
    """Least precision at 90 % instance recall."""
    min_pro: float | None = None
    """Least per-region overlap."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition, and how a candidate stands."""

    name: str
    measured: str
    limit: str
    passed: bool
    why: str


def run(
    settings: PromotionSettings, metrics: Mapping[str, float], tags: Mapping[str, str], package: Path
) -> list[Gate]:
    """Every gate for one candidate: its metrics, its version's tags and its package."""
    return [*_minima(settings, metrics), _parity(package), _lineage(tags)]


def _minima(settings: PromotionSettings, metrics: Mapping[str, float]) -> list[Gate]:
    found = []
    minima = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name.startswith("min_")}
    for setting, limit in minima.items():
        name = setting.removeprefix("min_")
        if limit is None:
            continue
        value = metrics.get(name)
        if value is None:
            passed, measured, why = False, "nothing", f"metrics.json of the candidate has no {name}"
        else:
            passed, measured = value >= limit, f"{value:.4f}"
            why = f"{name} is {value:.4f}, {'at least' if passed else 'below'} {limit:g} of params.yaml"
        found.append(Gate(name=name, measured=measured, limit=f">= {limit:g}", passed=passed, why=why))
    return found


def _parity(package: Path) -> Gate:
    """Every model file of the package scores the golden images as the network did when it was packaged."""
    try:
        report = json.loads((package / "parity.json").read_text(encoding="utf-8"))
        worst, limit = max(report["largest_difference"].values()), float(report["tolerance"])
        untested = {path.name for path in package.glob("model.*")} - {CARD, *report["largest_difference"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        why = "parity.json is not in the package or cannot be read"
        return Gate(name="parity", measured="nothing", limit="stated", passed=False, why=why)
    passed = worst <= limit and not untested
    if untested:
        why = f"parity.json says nothing of {', '.join(sorted(untested))}"
    else:
        verb = "differ by at most" if passed else "differ by up to"
        why = f"scores of the exported files {verb} {worst:.2g} from the network's on the golden images"
    return Gate(name="parity", measured=f"{worst:.2g}", limit=f"<= {limit:g}", passed=passed, why=why)


def _lineage(tags: Mapping[str, str]) -> Gate:
    missing = [name for name in LINEAGE if not tags.get(name)]
    clean = tags.get("git_clean") == "true"
    if missing:
        why = f"the version has no {', '.join(missing)}"
    elif not clean:
        why = "the git tree had changes that were not committed when it was trained"
    else:
        why = "data, images, params, code and teacher are named, and the git tree was as committed"
    passed = clean and not missing
    measured = "complete" if passed else "incomplete"
    return Gate(name="lineage", measured=measured, limit="complete", passed=passed, why=why)
