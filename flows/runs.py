"""What flows ask of Prefect about runs: which are under way, start one, name this one by what it found."""

from collections.abc import Iterator
from typing import Annotated, Literal

from prefect import get_client, runtime
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from pydantic import Field

from destseg import Error
from destseg.dataset.layout import NAME_PATTERN

Category = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", description="Name of the category in params.yaml")]
Name = Literal["ingest", "retrain"]
"""Deployments that are started for one category; each is called as its flow."""
UNDER_WAY = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
_PAGE = 200  # runs in one answer of the server, its own limit


def under_way(name: Name) -> set[str]:
    """Categories that a run of this deployment works on or waits to."""
    with get_client(sync_client=True) as client:
        runs = _find(client, name, FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))))
        return {str(run.parameters["category"]) for run in runs}


def start(name: Name, category: str, *, key: str | None = None) -> FlowRun:
    """A run of the deployment for `category`; the one that was started with the same `key` before, if there is one."""
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{name}/{name}")
        except ObjectNotFound:
            raise Error(f"the server has no deployment {name}/{name}; run `prefect deploy --all`") from None
        return client.create_flow_run_from_deployment(
            deployment.id, parameters={"category": category}, tags=[category], idempotency_key=key
        )


def rename(name: str) -> None:
    """Gives this flow run a name that says what it works on, such as retrain-washer-92109ba6."""
    with get_client(sync_client=True) as client:
        client.update_flow_run(runtime.flow_run.id, name=name)


def _find(client: SyncPrefectClient, name: Name, which: FlowRunFilter) -> Iterator[FlowRun]:
    deployment = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    offset = 0
    while page := client.read_flow_runs(
        deployment_filter=deployment, flow_run_filter=which, limit=_PAGE, offset=offset
    ):
        yield from page
        offset += len(page)
