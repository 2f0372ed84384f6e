"""Flow `retrain`: the newest dataset version becomes a challenger in the registry, compared with the champion."""

import os
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, get_run_logger, task

from destseg import Error
from destseg.storage import stages, versions
from destseg.storage.fetching import pull
from destseg.storage.memo import cache
from destseg.storage.sharing import alone
from flows import pages
from flows.commands import PERSISTENT, destseg, dvc, log_line
from flows.ingest import announce
from flows.runs import Category, rename
from flows.script import run_here
from flows.workspace import workspace

TRANSFER_SECONDS = 4 * 3600
TRAINING_SECONDS = 24 * 3600
REGISTRY_SECONDS = 3600
COMPARISON_SECONDS = 4 * 3600


@flow(flow_run_name="retrain-{category}")
def retrain(category: Category) -> dict[str, Any]:
    """Trains, evaluates, registers and compares the category's newest dataset version. Returns the candidate.

    One run per category at a time: a second one ends at once, and the first looks at its end for a version that came
    meanwhile. The lock is a file in $DESTSEG_CACHE, which frees itself when its process dies.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise Error("MLFLOW_TRACKING_URI is not set; expected the registry's address, where every worker reaches it")
    with workspace(f"retrain-{category}") as root:
        version = versions.dataset_version(root, category)
        rename(f"retrain-{category}-{version[:8]}")
        try:
            with alone(cache(), f"retrain-{category}") as mine:
                if not mine:
                    get_run_logger().info("another run trains %s and looks for newer versions at its end", category)
                    return {"dataset_version": version, "model_uri": None, "trained": False}
                return train(root, category)
        finally:  # the lock is free again, so that whoever comes from now on trains what he finds
            announce_newer(root, category, version)


def train(root: Path, category: str) -> dict[str, Any]:
    """The steps from a dataset version to its challenger and the gates; of what was done before, none is repeated."""
    known = look_up(root, category)
    left, reason = known.pop("left"), known.pop("reason")
    get_run_logger().info("%s: %s is left to do, %s", category, left or "nothing", reason)
    if left is None:
        return known | {"trained": False}
    if left != "train":  # what comes before that was done
        if left == "register":
            register(root, category)
        fetch_dataset(root, category)
        return known | {"trained": False, **decide(root, category)}
    fetch_dataset(root, category)
    try:
        reproduce(root, category)
    finally:  # that of a refused dataset most of all
        pages.publish_validation(root, category, return_state=True)
    push_results(root, category)
    registered = register(root, category)
    decided = decide(root, category)
    pages.publish(root, category, registered)
    return known | registered | {"trained": True, "metrics": pages.read_metrics(root, category), **decided}


@task(**PERSISTENT, task_run_name="look-up-{category}")
def look_up(root: Path, category: str) -> dict[str, Any]:
    """What is left to do for the dataset version of the workspace: `destseg due`."""
    known: dict[str, Any] = destseg(root, "due", category, timeout=REGISTRY_SECONDS)
    return known


@task(**PERSISTENT, task_run_name="fetch-dataset-{category}")
def fetch_dataset(root: Path, category: str) -> None:
    """Brings the category's images into the workspace, through the shared cache."""
    pull(root, category, timeout=TRANSFER_SECONDS, log=log_line)


@task(**PERSISTENT, task_run_name="reproduce-{category}")
def reproduce(root: Path, category: str) -> None:
    """Runs the stages of this category that were not run before on the same: `dvc repro --pull`."""
    # One by one, as DVC reads the stages of all categories to find what comes before a stage: 5 s of 200.
    dvc(root, "repro", "--pull", "--single-item", *stages.names(root, category), timeout=TRAINING_SECONDS)


@task(**PERSISTENT, task_run_name="push-results-{category}")
def push_results(root: Path, category: str) -> None:
    """Sends the stages' outputs and the run cache to the remote, for an engineer's `dvc repro --pull`."""
    dvc(
        root,
        "push",
        "--run-cache",
        *stages.names(root, category),
        str(versions.pointer(category)),
        timeout=TRANSFER_SECONDS,
    )


@task(**PERSISTENT, task_run_name="register-{category}")
def register(root: Path, category: str) -> dict[str, Any]:
    """Registers the package as challenger: `destseg register`."""
    registered: dict[str, Any] = destseg(root, "register", category, timeout=REGISTRY_SECONDS)
    return registered


def decide(root: Path, category: str) -> dict[str, Any]:
    """Compares the challenger, promotes it if the policy is `auto` and every gate passes, and shows both."""
    decided = compare(root, category)
    pages.publish_decision(category, **decided)
    return decided


@task(**PERSISTENT, task_run_name="compare-{category}")
def compare(root: Path, category: str) -> dict[str, Any]:
    """Evaluates challenger and champion anew on this dataset version, then asks the gates: `destseg compare --policy`.

    One command for both: a process that talks to MLflow takes two seconds to start.
    """
    decided: dict[str, Any] = destseg(root, "compare", category, "--policy", timeout=COMPARISON_SECONDS)
    get_run_logger().info("%s: %s", decided["promotion"]["model_uri"], decided["promotion"]["reason"])
    return decided


def announce_newer(root: Path, category: str, version: str) -> None:
    """Announces the version that came while this run held the lock, and whose own run has ended at once."""
    try:
        newest = versions.newest_version(root, category)
        if newest and newest != version:
            get_run_logger().info("%s: dataset version %s came meanwhile", category, newest)
            announce(category, newest, 0)
    except (Error, httpx.HTTPError) as error:  # what this run has done, or why it failed, is not lost for that
        get_run_logger().warning("%s: no look at newer versions (%s); `retrain-all` will take one", category, error)


if __name__ == "__main__":
    run_here(retrain)
