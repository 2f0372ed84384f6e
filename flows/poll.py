"""Flow `poll`: one listing of the inbox for all categories; `ingest` starts where something waits."""

import hashlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.states import Cancelled, Crashed

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.ingest.arrivals import INBOX
from destseg.storage import s3
from flows.runs import start, under_way
from flows.script import run_here

AGAIN_SECONDS = 3600
"""An inbox that has not changed is looked at this often: a mask may be overdue, a batch old enough to go on alone."""
DEAD = timedelta(hours=1)
"""A poll that has not ended by then never will."""


@flow(flow_run_name="poll")
def poll() -> dict[str, Any]:
    """Starts `ingest` for each category whose inbox holds something new. Returns what waits, and what was started."""
    forget_missed()
    waiting = list_inbox()
    busy = under_way("ingest") if waiting else set()
    started = []
    for category, digest in waiting.items():
        if category in busy:
            continue
        run = start("ingest", category, key=f"{category}-{digest}-{int(time.time() // AGAIN_SECONDS)}")
        if run.state is not None and run.state.is_scheduled():
            started.append(category)
            get_run_logger().info("%s: something waits in the inbox, started %s", category, run.name)
    return {"waiting": sorted(waiting), "under_way": sorted(busy & waiting.keys()), "started": started}


@task
def list_inbox() -> dict[str, str]:
    """A digest of what waits for each category: the same as long as nothing comes or goes."""
    return digests(s3.list_objects(s3.bucket_name(), INBOX))


def digests(objects: Iterable[s3.Object]) -> dict[str, str]:
    """SHA-256 over names and contents by category; what lies below no category's name is nobody's."""
    found: dict[str, Any] = {}
    for item in sorted(objects, key=lambda item: item.key):
        name, slash, rest = item.key.removeprefix(INBOX).partition("/")
        if not slash or (not rest and not item.size):  # consoles mark folders with empty objects
            continue
        try:
            check_category(name)
        except Error:
            continue
        found.setdefault(name, hashlib.sha256()).update(f"{item.key}\n{item.etag}\n{item.size}\n".encode())
    return {name: digest.hexdigest()[:16] for name, digest in found.items()}


def forget_missed() -> None:
    """Ends the polls that no worker was there for, and those whose process is gone: this one sees what they would."""
    if not runtime.deployment.id:
        return
    ours = DeploymentFilter(id=DeploymentFilterId(any_=[runtime.deployment.id]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=_in("Late"), deployment_filter=ours):
            client.set_flow_run_state(run.id, Cancelled(message="no worker was there in time; a later poll did it"))
        for run in client.read_flow_runs(flow_run_filter=_in("Running", "Pending"), deployment_filter=ours):
            if run.expected_start_time and run.expected_start_time < datetime.now(UTC) - DEAD:
                client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)


def _in(*states: str) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=list(states))))


if __name__ == "__main__":
    run_here(poll)
