"""Flow `rescue`: a run whose process is gone is found dead, and done again by whoever is there.

Prefect's own word for a worker and its flow killed together is Running, for ever. A run gives a sign of life every 30 s
(PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect.yaml); the triggers of this deployment start it where none came, and again
where a run has crashed. What a dead run had done comes back from the run cache and its checkpoints.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Cancelled, Crashed, Scheduled
from pydantic import Field

from flows.runs import deployment, find
from flows.script import run_here

HEARTBEAT = "prefect.flow-run.heartbeat"
OURS = "destseg"
"""Tag of all deployments."""
SILENT = timedelta(minutes=15)
"""Without a sign of life or a change of state for so long, a run is looked after whatever its triggers have seen."""
AGAIN = "run-again"
"""Tag of the deployments whose crashed runs are done again."""
ATTEMPTS = 3
"""A run that has died this often is left to a person."""
_AT_WORK = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}


@flow(flow_run_name="rescue-{flow_run_id}")
def rescue(flow_run_id: UUID, wait_seconds: Annotated[float, Field(ge=0)] = 75.0) -> dict[str, Any]:
    """Declares a silent run crashed, and starts a crashed one again. Returns what was done.

    It first waits for one more sign of life, by default two and a half heartbeats: after the Prefect server itself was
    away, every run seems silent.
    """
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_id)
        done = _bury(client, run, wait_seconds) if run.state_type in _AT_WORK else _again(client, run)
    get_run_logger().info("%s: %s", run.name, done)
    return {"run": run.name, "done": done}


def rescue_silent() -> None:
    """Starts `rescue` for runs that its triggers have missed, as a deploy makes them forget what they had seen."""
    since = datetime.now(UTC) - SILENT
    at_work = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_AT_WORK))),
        tags=FlowRunFilterTags(all_=[OURS]),
    )
    with get_client(sync_client=True) as client:
        for run in list(find(client, at_work)):
            if run.state is None or run.state.timestamp > since or _heard(client, run, since):
                continue
            get_run_logger().warning("%s has given no sign of life since %s", run.name, since)
            key = f"{run.id}-{datetime.now(UTC):%Y-%m-%d-%H}"
            parameters = {"flow_run_id": str(run.id)}
            client.create_flow_run_from_deployment(
                deployment(client, "rescue"), parameters=parameters, idempotency_key=key
            )


def _bury(client: SyncPrefectClient, run: FlowRun, wait_seconds: float) -> str:
    """Ends a run that is silent; what emits the event by which a crashed one is started again."""
    since, end = datetime.now(UTC), time.monotonic() + wait_seconds
    while time.monotonic() < end:
        current = client.read_flow_run(run.id)
        if current.state_type != run.state_type:
            return f"is {current.state_name} meanwhile"
        if _heard(client, run, since):
            return "is alive"
        time.sleep(3)
    if run.state_type == StateType.CANCELLING:
        client.set_flow_run_state(run.id, Cancelled(message="its process was gone"), force=True)
        return "cancelled"
    client.set_flow_run_state(run.id, Crashed(message="it gave no sign of life"), force=True)
    return "declared crashed"


def _heard(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    signs = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred=EventOccurredFilter.model_validate({"since": since}),
    )
    return bool(client.read_events(filter=signs, limit=1).events)


def _again(client: SyncPrefectClient, run: FlowRun) -> str:
    if run.state_type != StateType.CRASHED or AGAIN not in run.tags or run.deployment_id is None:
        return f"is {run.state_name}, nothing to do"
    # Not run.run_count, which counts runs that began: one whose code cannot be imported dies before that.
    deaths = sum(state.type == StateType.CRASHED for state in client.read_flow_run_states(run.id))
    if deaths >= ATTEMPTS:
        return f"has died {deaths} times; see its log, then `prefect flow-run retry {run.id}`"
    client.set_flow_run_state(run.id, Scheduled(message="its process had died"))
    return f"started again, attempt {deaths + 1} of {ATTEMPTS}"


if __name__ == "__main__":
    run_here(rescue)
