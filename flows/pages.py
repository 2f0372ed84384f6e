"""What a `retrain` run shows on its page: validation, metrics beside the champion's, gates, worst cases, links."""

import json
import os
from pathlib import Path
from typing import Any

from PIL import Image
from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from destseg.dataset.layout import GOOD, build_dir
from destseg.evaluation.figures import data_uri
from destseg.text import without_login
from flows.commands import PERSISTENT
from flows.runs import artifact_key

WORST = 3  # images of each group
_WIDTH = 720  # pixels of the picture, which travels inside the artifact
_GAP = 8


def publish(root: Path, category: str, registered: dict[str, Any]) -> None:
    """Pictures of a new challenger, and where it is. What fails is seen as a failed task, and fails no run."""
    publish_worst(root, category, return_state=True)
    publish_links(category, registered, return_state=True)


def read_metrics(root: Path, category: str) -> dict[str, float]:
    """The numbers that `evaluate` measured."""
    found = json.loads((build_dir(category, root) / "metrics.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


@task(**PERSISTENT, task_run_name="publish-validation-{category}")
def publish_validation(root: Path, category: str) -> None:
    """Each expectation and how it came out, the failed ones first; nothing where the stage wrote no verdict."""
    path = build_dir(category, root) / "validation" / "validation.json"
    if not path.is_file():
        return
    verdict = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {
            "result": "passed" if found["success"] else found["severity"],
            "expectation": found["sentence"],
            "observed": found["observed"],
        }
        for found in sorted(verdict["expectations"], key=lambda found: (found["success"], found["severity"]))
    ]
    described = f"{category}: {'accepted' if verdict['accepted'] else 'REFUSED'}, {verdict['warnings']} warnings"
    create_table_artifact(key=artifact_key("validation", category), table=rows, description=described)


def publish_decision(category: str, *, comparison: dict[str, Any] | None, promotion: dict[str, Any]) -> None:
    """The metrics of a new comparison, and how the challenger stands at the gates, if it still has to pass them."""
    if comparison:
        publish_metrics(category, comparison, return_state=True)
    if promotion["gates"]:
        publish_gates(category, comparison, promotion, return_state=True)


@task(**PERSISTENT, task_run_name="publish-metrics-{category}")
def publish_metrics(category: str, compared: dict[str, Any]) -> None:
    """The challenger's metrics beside the champion's, both measured anew on one dataset version."""
    metrics = compared["metrics"]
    rows = [
        {"metric": name, "challenger": _round(value)}
        | ({"champion": _round(metrics["champion"].get(name))} if metrics["champion"] else {})
        for name, value in metrics["challenger"].items()
    ]
    champion = f"champion is {compared['champion']}" if compared["champion"] else "there is no champion yet"
    made = "; the defects are synthetic, for the dataset has no defect image" if compared["synthetic"] else ""
    described = f"{category}: {champion}; measured on dataset version {compared['dataset_version'][:8]}{made}"
    create_table_artifact(key=artifact_key("metrics", category), table=rows, description=described)


@task(**PERSISTENT, task_run_name="publish-gates-{category}")
def publish_gates(category: str, compared: dict[str, Any] | None, promotion: dict[str, Any]) -> None:
    """Each gate with its reason, and the comparison in a sentence."""
    rows = [
        {
            "result": "passed" if gate["passed"] else "FAILED",
            **{k: gate[k] for k in ("name", "measured", "limit", "why")},
        }
        for gate in promotion["gates"]
    ]
    verdict = f"{compared['verdict']}. " if compared else ""
    described = f"{promotion['model_uri']}: {verdict}{promotion['reason']}"
    create_table_artifact(key=artifact_key("gates", category), table=rows, description=described)


@task(**PERSISTENT, task_run_name="publish-worst-{category}")
def publish_worst(root: Path, category: str) -> None:
    """The defects with the lowest anomaly scores and the normal images with the highest: photograph, truth, heatmap."""
    sheets = worst_cases(build_dir(category, root) / "evaluation")
    if sheets:
        described = (
            f"{category}, from top to bottom: {', '.join(path.stem for path in sheets)}. Each: photograph, truth, "
            "heatmap. First the defects with the lowest anomaly scores, then the normal images with the highest."
        )
        create_image_artifact(
            image_url=data_uri(_stacked(sheets)), key=artifact_key("worst", category), description=described
        )


@task(**PERSISTENT, task_run_name="publish-links-{category}")
def publish_links(category: str, registered: dict[str, Any]) -> None:
    """The challenger and its report, as links where the registry has pages."""
    model_uri, server = registered["model_uri"], without_login(os.environ.get("MLFLOW_TRACKING_URI", "")).rstrip("/")
    if not server.startswith(("http://", "https://")):
        where = f"`{model_uri}` in `{server or 'the local registry'}`"
        create_markdown_artifact(where, key=artifact_key("challenger", category))
        return
    name, _, version = model_uri.removeprefix("models:/").rpartition("/")
    create_link_artifact(
        f"{server}/#/models/{name}/versions/{version}", model_uri, key=artifact_key("challenger", category)
    )
    run = f"{server}/#/experiments/{registered['experiment_id']}/runs/{registered['run_id']}"
    report = f"{run}/artifacts/evaluation/report.html"
    create_link_artifact(report, f"{category}: report of the evaluation", key=artifact_key("report", category))


def worst_cases(evaluation: Path) -> list[Path]:
    """Pictures of the worst misses, then of the worst false alarms, as far as `evaluate` drew them."""
    scores = json.loads((evaluation / "scores.json").read_text(encoding="utf-8"))
    rising = sorted(scores, key=lambda found: found["score"])
    missed = [found for found in rising if found["kind"] != GOOD][:WORST]
    alarms = [found for found in reversed(rising) if found["kind"] == GOOD][:WORST]
    named = [evaluation / "heatmaps" / f"{found['kind']}-{Path(found['name']).stem}.png" for found in missed + alarms]
    return [path for path in named if path.is_file()]


def _stacked(sheets: list[Path]) -> Image.Image:
    pictures = []
    for path in sheets:
        with Image.open(path) as sheet:
            height = round(sheet.height * _WIDTH / sheet.width)
            pictures.append(sheet.convert("RGB").resize((_WIDTH, height)))
    stacked = Image.new("RGB", (_WIDTH, sum(picture.height + _GAP for picture in pictures) - _GAP), "white")
    top = 0
    for picture in pictures:
        stacked.paste(picture, (0, top))
        top += picture.height + _GAP
    return stacked


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
