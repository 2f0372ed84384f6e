"""Flow `ingest`: what waits in the inbox becomes a new dataset version, and an event that retraining waits for."""

import re
from typing import Any

from prefect import flow, get_client, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import Event, Resource

from destseg.storage import versions
from flows.commands import PERSISTENT, destseg
from flows.runs import Category, artifact_key, rename
from flows.script import run_here
from flows.workspace import workspace

VERSION_CREATED = "destseg.dataset.version-created"
_UNPRINTABLE = re.compile(r"[^\w./ +-]")
BATCH_SECONDS = 4 * 3600


@flow(flow_run_name="ingest-{category}")
def ingest(category: Category) -> dict[str, Any]:
    """One batch from the inbox: checked, made a version, pushed, announced. Returns what became of it."""
    batch = take_batch(category)
    # A run that died after its push has announced nothing: it left duplicates in the inbox, or this is its second
    # attempt. Announcing a version again costs nothing: a retraining that was done before ends at once.
    if batch["accepted"] or batch["duplicates"] or runtime.flow_run.run_count > 1:
        announce(category, batch["current_version"], batch["accepted"])
    rename(f"ingest-{category}-{batch['current_version'][:8]}")
    publish_counts(category, batch, return_state=True)  # a page that fails is seen, and fails no batch
    return batch


@task(**PERSISTENT, task_run_name="take-batch-{category}")
def take_batch(category: str) -> dict[str, Any]:
    """Checks the photographs, adds and pushes the good ones, puts the others in quarantine: `destseg ingest`.

    Each attempt has a clone of its own, since a push that failed leaves one that is not clean.
    """
    with workspace(f"ingest-{category}") as root:
        batch: dict[str, Any] = destseg(root, "ingest", category, timeout=BATCH_SECONDS)
        return batch | {"current_version": versions.dataset_version(root, category)}


@task(**PERSISTENT, task_run_name="publish-counts-{category}")
def publish_counts(category: str, batch: dict[str, Any]) -> None:
    """The batch as a table on the flow run's page."""
    rows = [f"| {name} | {batch[name]} |" for name in ("accepted", "rejected", "duplicates", "waiting")]
    # Keys come from outside: nothing in them may end the code span.
    reasons = [f"- `{_UNPRINTABLE.sub('?', key)}`: {why}" for key, why in sorted(batch["reasons"].items())]
    version = batch["dataset_version"] or "no new one"
    lines = [f"**{category}**, dataset version: `{version}`", "", "| photographs | |", "|---|---|", *rows, "", *reasons]
    create_markdown_artifact(key=artifact_key("batch", category), markdown="\n".join(lines))


@task(**PERSISTENT, task_run_name="announce-{category}")
def announce(category: str, version: str, accepted: int) -> None:
    """Emits the event that the deployment `retrain` is triggered by.

    Not by `emit_event`, which drops what a server that is away does not take.
    """
    event = Event(
        event=VERSION_CREATED,
        resource=Resource({"prefect.resource.id": f"destseg.dataset.{category}", "prefect.resource.name": category}),
        payload={"category": category, "dataset_version": version, "accepted": accepted},
    )
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()


if __name__ == "__main__":
    run_here(ingest)
