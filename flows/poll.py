"""Flow `poll`: one listing of the inbox for all categories; `ingest` starts where something waits."""

import hashlib
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from prefect import flow, get_client, get_run_logger, runtime, task
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.states import Cancelled

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.ingest.arrivals import INBOX
from destseg.settings import PARAMS, categories
from destseg.storage import s3
from flows.rescue import rescue_silent
from flows.runs import find, start, under_way
from flows.script import run_here
from flows.workspace import workspace

AGAIN_SECONDS = 3600
"""An inbox that has not changed is looked at once in each hour: a mask may be overdue, a batch old enough to go on."""


@flow(flow_run_name="poll")
def poll() -> dict[str, Any]:
    """Starts `ingest` for each category whose inbox holds something new. Returns what waits, and what was started."""
    forget_missed()
    rescue_silent()
    waiting = list_inbox()
    known = known_categories() if waiting else set()
    if strangers := sorted(waiting.keys() - known):
        get_run_logger().warning("the inbox has folders of no category in params.yaml: %s", ", ".join(strangers[:20]))
    busy = under_way("ingest") if waiting else set()
    started = []
    for category in sorted(waiting.keys() & known - busy):
        run = start("ingest", category, key=f"{category}-{waiting[category]}-{int(time.time() // AGAIN_SECONDS)}")
        if run.state is not None and run.state.is_scheduled():
            started.append(category)
            get_run_logger().info("%s: something waits in the inbox, started %s", category, run.name)
    under = sorted(busy & waiting.keys())
    return {"waiting": sorted(waiting), "no_category": strangers, "under_way": under, "started": started}


@task(task_run_name="list-inbox")
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


def known_categories() -> set[str]:
    """Those of params.yaml in origin: who may put into the inbox may put anywhere into it."""
    with workspace("poll", shares_cache=False) as root:
        return set(categories(root / PARAMS))


def forget_missed() -> None:
    """Cancels the polls that no worker was there for: this one sees what they would have seen."""
    if not runtime.deployment.id:
        return
    late = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"])),
        deployment_id=FlowRunFilterDeploymentId(any_=[UUID(runtime.deployment.id)]),
    )
    with get_client(sync_client=True) as client:
        for run in list(find(client, late)):
            client.set_flow_run_state(run.id, Cancelled(message="no worker was there in time; a later poll did it"))


if __name__ == "__main__":
    run_here(poll)
