"""Flow `retrain`: the newest dataset version becomes a challenger in the registry, unless it was trained before."""

import json
import os
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from destseg import Error
from destseg.dataset.layout import build_dir
from destseg.storage import versions
from flows.commands import PERSISTENT, destseg, dvc
from flows.script import run_here
from flows.workspace import workspace

TRANSFER_SECONDS = 4 * 3600
TRAINING_SECONDS = 24 * 3600
REGISTRY_SECONDS = 3600


@flow(flow_run_name="retrain-{category}")
def retrain(category: str) -> dict[str, Any]:
    """Trains, evaluates and registers the category's newest dataset version. Returns the challenger."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise Error("MLFLOW_TRACKING_URI is not set; expected the registry's address, where every worker reaches it")
    with workspace(f"retrain-{category}") as root:
        known = look_up(root, category)
        if known["model_uri"]:
            return known | {"trained": False}
        fetch_dataset(root, category)
        reproduce(root, category)
        push_results(root, category)
        registered = register(root, category)
        metrics = read_metrics(root, category)
    publish_metrics(category, metrics)
    publish_model(category, registered["model_uri"])
    return known | registered | {"trained": True, "metrics": metrics}


@task(**PERSISTENT, task_run_name="look-up-{category}")
def look_up(root: Path, category: str) -> dict[str, Any]:
    """Dataset version and training key of the workspace, and the candidate that came from the same, if there is one."""
    return destseg(root, "register", category, "--check", timeout=REGISTRY_SECONDS)


@task(**PERSISTENT, task_run_name="fetch-dataset-{category}")
def fetch_dataset(root: Path, category: str) -> None:
    """Brings the category's images into the workspace, through the shared cache: `dvc pull`."""
    dvc(root, "pull", str(versions.pointer(category)), timeout=TRANSFER_SECONDS)


@task(**PERSISTENT, task_run_name="reproduce-{category}")
def reproduce(root: Path, category: str) -> None:
    """Runs the stages of this category that were not run before on the same: `dvc repro --pull`."""
    dvc(root, "repro", "--pull", f"package@{category}", timeout=TRAINING_SECONDS)


@task(**PERSISTENT, task_run_name="push-results-{category}")
def push_results(root: Path, category: str) -> None:
    """Sends the stages' outputs and the run cache to the remote, for an engineer's `dvc repro --pull`."""
    dvc(root, "push", "--run-cache", "--with-deps", f"package@{category}", timeout=TRANSFER_SECONDS)


@task(**PERSISTENT, task_run_name="register-{category}")
def register(root: Path, category: str) -> dict[str, Any]:
    """Registers the package as challenger: `destseg register`."""
    return destseg(root, "register", category, timeout=REGISTRY_SECONDS)


def read_metrics(root: Path, category: str) -> dict[str, float]:
    """The numbers that `evaluate` measured."""
    found = json.loads((build_dir(category, root) / "metrics.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


@task(task_run_name="publish-metrics-{category}")
def publish_metrics(category: str, metrics: dict[str, float]) -> None:
    """The metrics as a table on the flow run's page."""
    table = [{"metric": name, "value": value} for name, value in metrics.items()]
    create_table_artifact(key=f"metrics-{category.replace('_', '-')}", table=table)


@task(task_run_name="publish-model-{category}")
def publish_model(category: str, model_uri: str) -> None:
    """The challenger on the flow run's page, as a link where the registry has pages."""
    key = f"challenger-{category.replace('_', '-')}"
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.startswith(("http://", "https://")):
        name, _, version = model_uri.removeprefix("models:/").rpartition("/")
        create_link_artifact(f"{server.rstrip('/')}/#/models/{name}/versions/{version}", model_uri, key=key)
    else:
        create_markdown_artifact(f"`{model_uri}` in `{server or 'the local registry'}`", key=key)


if __name__ == "__main__":
    run_here(retrain)
