"""The gates before promotion: each compares one measurement with a limit and says why it passed or not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from destseg.dataset.layout import GOOD
from destseg.evaluation.meanings import MEANINGS
from destseg.registry.promotion_settings import PromotionSettings

LINEAGE = ("dataset_version", "commit", "training_key", "params_hash", "teacher", "image_list")
CARD = "model.json"
NOTHING = "nothing"  # what was measured where nothing could be
PARITY = 1e-3  # that of destseg.inference.package, which takes seconds to import; a package may state a smaller one


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition, and how a candidate stands."""

    name: str
    measured: str
    limit: str
    passed: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the gates read of a candidate: no code of it runs, and no file but JSON is opened."""

    tags: Mapping[str, str]
    """Of its version."""
    parity: str
    """Text of the package's parity.json, empty where it has none."""
    comparison: Mapping[str, Any] | None
    """Content of comparison.json, if the comparison is with the present champion and as it was made."""
    missing: str = ""
    """Why there is no such comparison, and what to do."""


def mismatch(content: Mapping[str, Any], challenger: str, champion: str) -> str:
    """Why this content of comparison.json is not of these two, versions by their addresses; empty where it is.

    `champion` is empty where there is none. Whoever may set a candidate's tag can name the comparison of another one.
    """
    for role, expected in (("challenger", challenger), ("champion", champion)):
        model = content.get(role)
        found = str(model.get("address")) if isinstance(model, Mapping) else ""
        if found != expected:
            return f"its comparison has {found or 'none'} as {role}, expected {expected or 'none'}; compare it anew"
    return ""


def run(settings: PromotionSettings, facts: Facts) -> list[Gate]:
    """Every gate for one candidate. Whoever trains can write comparison.json: of another shape it counts as none."""
    try:
        return _run(settings, facts)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if facts.comparison is None:
            raise
        why = f"comparison.json is not what `destseg compare` writes ({error!r}); run `destseg compare --again`"
        return _run(settings, replace(facts, comparison=None, missing=why))


def _run(settings: PromotionSettings, facts: Facts) -> list[Gate]:
    found, content = [_compared(facts)], facts.comparison
    if content is not None:
        found += _minima(settings, content)
        if content["champion"] is not None:
            found += [*_losses(settings, content), *_recall(settings, content)]
        found += [*_false_rejects(settings, content), *_golden(settings, content)]
    found.append(_parity(facts))
    if content is not None:
        found += _latency(settings, content)
    return [*found, _lineage(facts)]


def _gate(name: str, measured: str, limit: str, passed: bool, why: str) -> Gate:
    return Gate(name=name, measured=measured, limit=limit, passed=passed, why=why)


def _compared(facts: Facts) -> Gate:
    """There is a comparison, of these two, on images that the challenger was not trained on."""
    content, limit = facts.comparison, "with the present champion, on images that no training saw"
    if content is None:
        return _gate("compared", NOTHING, limit, False, facts.missing)
    champion = "no champion" if content["champion"] is None else f"champion {content['champion']['version']}"
    measured = f"{champion}, dataset version {content['dataset_version'][:8]}"
    images, defects = sum(content["kinds"].values()), "synthetic defects" if content["synthetic"] else "defects"
    good = content["kinds"].get(GOOD, 0)
    there = "there is no champion yet" if content["champion"] is None else f"{champion} is the present one"
    why = f"evaluated anew on {good} good images and {images - good} {defects}; {there}"
    trained = facts.tags.get("dataset_version", "")
    if trained != content["dataset_version"]:
        why += f"; the challenger was trained on dataset version {trained[:8]}"
    seen = content["trained_on"]["challenger"]
    if seen is None:
        why += "; the list of the images that the challenger was trained on cannot be read, so it may have seen these"
    elif seen:
        why += f"; the challenger was trained on {_some(seen)} of them, so nobody can tell what it finds"
    if former := content["trained_on"]["champion"]:
        why += f"; the champion was trained on {_some(former)} of them, so it seems better than it is"
    return _gate("compared", measured, limit, seen == [], why)


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"


def _title(name: str) -> str:
    """A metric as people call it."""
    return MEANINGS[name][0]


def _made(content: Mapping[str, Any]) -> str:
    """Stands behind every number that comes from made defects."""
    return " (synthetic defects)" if content["synthetic"] else ""


def _minima(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    found, made = [], _made(content)
    minima = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name.startswith("min_")}
    for setting, limit in minima.items():
        name = setting.removeprefix("min_")
        if limit is None:
            continue
        value = content["challenger"]["metrics"].get(name)
        if value is None:
            passed, measured = False, NOTHING
            why = f"{_title(name)} is not defined on the images of this dataset version"
        else:
            passed, measured = value >= limit, f"{value:.4f}{made}"
            why = f"{_title(name)} is {value:.4f}, {'at least' if passed else 'below'} {limit:g} of params.yaml{made}"
        found.append(_gate(name, measured, f">= {limit:g}", passed, why))
    return found


def _losses(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    """No metric is lost beyond its margin: the lower end of the 95 % interval of the difference says so."""
    found, made = [], _made(content)
    margins = {"image_auroc": settings.max_image_auroc_loss, "pixel_ap": settings.max_pixel_ap_loss}
    for name, margin in margins.items():
        if margin is None:
            continue
        difference, limit = content["differences"].get(name), f">= -{margin:g} with 95 % confidence"
        if difference is None:
            why = f"{_title(name)} is not defined on the images of this dataset version, so nobody can compare by it"
            found.append(_gate(f"{name}_loss", NOTHING, limit, False, why))
            continue
        gain, low, high = (
            difference["challenger"] - difference["champion"],
            difference["low"],
            difference["high"],
        )
        passed = low >= -margin
        measured = f"{gain:+.4f} ({low:+.4f} to {high:+.4f}){made}"
        said = f"{_title(name)} is {difference['challenger']:.4f}, the champion's {difference['champion']:.4f}{made}"
        verdict = f"may be {-low:.4f} worse" if low < 0 else "is no worse"
        allowed = "which is allowed" if passed else "which is more than allowed"
        why = f"{said}; the challenger {verdict} (95 % interval {low:+.4f} to {high:+.4f}), "
        why += f"{allowed} ({margin:g})" if low < 0 else f"{margin:g} would be allowed"
        found.append(_gate(f"{name}_loss", measured, limit, passed, why))
    return found


def _recall(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    """No defect type of which the challenger catches less than the champion, beyond the margin."""
    margin = settings.max_recall_loss
    if margin is None:
        return []
    before, after = content["champion"]["kinds"], content["challenger"]["kinds"]
    limit = f">= -{margin:g} of every defect type"
    if any(one["caught"] is None for one in (*before.values(), *after.values())):
        why = (
            "a model has no threshold, so nobody can say what it catches; train it with split.calibration_share above 0"
        )
        return [_gate("recall", NOTHING, limit, False, why)]
    if before.keys() != after.keys():
        raise ValueError("the two models have other defect types")  # one of them is left out, or was made by hand
    gains = {kind: (one["caught"] - before[kind]["caught"]) / one["images"] for kind, one in after.items()}
    lost = [kind for kind, gain in gains.items() if gain < -margin - 1e-12]  # 1e-12: 0.95 - 1 is not quite -0.05
    worst = min(gains, key=lambda kind: gains[kind])
    told = [
        f"{kind}: {after[kind]['caught']} of {after[kind]['images']} caught, the champion {before[kind]['caught']}"
        for kind in lost or [worst]
    ]
    why = f"{'; '.join(told)}{_made(content)}"
    if not lost:
        why = f"no defect type is caught less often beyond {margin:g} (at worst {why})"
    return [_gate("recall", f"{gains[worst]:+.4f} ({worst}){_made(content)}", limit, not lost, why)]


def _false_rejects(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    limit, found = settings.max_false_reject_rate, content["challenger"]["false_rejects"]
    if limit is None:
        return []
    if found is None:
        why = "the acceptance set has no good image, or the model no threshold"
        return [_gate("false_rejects", NOTHING, f"<= {limit:g}", False, why)]
    passed = found["rate"] <= limit
    interval = f"{100 * found['low']:.1f} to {100 * found['high']:.1f} % among all such parts"
    verb = "at most" if passed else "more than"
    why = f"{found['count']} of {found['images']} good images are falsely rejected ({interval}), {verb} {limit:.1%}"
    if all(row["name"].startswith("train/") for row in content["images"] if row["kind"] == GOOD):
        why += "; the threshold was taken from these images, for test/good is empty"
    return [_gate("false_rejects", f"{found['rate']:.4f}", f"<= {limit:g}", passed, why)]


def _golden(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    """The verdict on each golden image, by what params.yaml names now."""
    if not settings.golden:
        return []
    rows = {row["name"]: row for row in content["images"]}
    absent = [name for name in settings.golden if name not in rows]
    wrong = [
        name
        for name in settings.golden
        if name in rows and rows[name]["challenger"]["rejected"] is not (rows[name]["kind"] != GOOD)
    ]
    right, count = len(settings.golden) - len(absent) - len(wrong), len(settings.golden)
    said = [f"{name} is judged wrongly" for name in wrong]
    said += [f"{name} is not in the acceptance set: correct promotion.golden" for name in absent]
    why = "; ".join(said) or "every golden image is judged rightly"
    return [_gate("golden", f"{right} of {count}", "all", right == count, why)]


def _parity(facts: Facts) -> Gate:
    """Every model file of the package scores the golden images as the network did when it was packaged."""
    try:
        report = json.loads(facts.parity)
        differences, limit = report["largest_difference"], min(float(report["tolerance"]), PARITY)
        worst = max(differences.values())
        names = json.loads(facts.tags.get("files", "{}"))
        untested = {name for name in names if name.startswith("model.")} - {CARD, *differences}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _gate("parity", NOTHING, "stated", False, "parity.json is not in the package or cannot be read")
    passed = all(value <= limit for value in differences.values()) and not untested  # nor is any of them NaN
    if untested:
        why = f"parity.json says nothing of {', '.join(sorted(untested))}"
    else:
        verb = "differ by at most" if passed else "differ by up to"
        why = f"scores of the exported files {verb} {worst:.2g} from the network's on the golden images"
    return _gate("parity", f"{worst:.2g}", f"<= {limit:g}", passed, why)


def _latency(settings: PromotionSettings, content: Mapping[str, Any]) -> list[Gate]:
    limit, found = settings.max_latency_ms, content["challenger"]["latency_ms"]
    if limit is None:
        return []
    why = f"one photograph takes {found:g} ms from file to verdict on {content['machine']}, {limit:g} ms are allowed"
    return [_gate("latency", f"{found:g} ms", f"<= {limit:g} ms", found <= limit, why)]


def _lineage(facts: Facts) -> Gate:
    missing = [name for name in LINEAGE if not facts.tags.get(name)]
    passed = False
    if missing:
        why = f"the version has no {', '.join(missing)}"
    elif facts.tags.get("git_clean") != "true":
        why = "the git tree had changes that were not committed when it was trained"
    elif facts.comparison is None:
        why = "whether the dataset version is in the DVC remote is not known before a comparison"
    elif not facts.comparison["clean"]:
        why = "the git tree had changes that were not committed when it was compared; `destseg compare --again` without"
    elif not facts.comparison["pushed"]:
        version = facts.comparison["dataset_version"]
        why = f"dataset version {version} is not in the DVC remote; `dvc push` it, then `destseg compare --again`"
    else:
        why = "data, images, params, code and teacher are named, the git tree was as committed, the data are pushed"
        passed = True
    return _gate("lineage", "complete" if passed else "incomplete", "complete", passed, why)
