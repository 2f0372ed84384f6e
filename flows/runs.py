"""What flows ask of Prefect about runs: which are under way, start one, name this one by what it found."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

import httpx
from prefect import get_client, get_run_logger, runtime
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
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
        which = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY)),
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment(client, name)]),
        )
        return {str(run.parameters.get("category")) for run in find(client, which)}


def start(name: Name, category: str, *, key: str) -> FlowRun:
    """A run of the deployment for `category`; the one that was started with the same `key` before, if there is one."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run_from_deployment(
            deployment(client, name), parameters={"category": category}, tags=[category], idempotency_key=key
        )


def rename(name: str) -> None:
    """Gives this flow run a name that says what it works on, such as retrain-washer-92109ba6; it fails for no name."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(runtime.flow_run.id, name=name)
    except httpx.HTTPError as error:
        get_run_logger().warning("this run keeps its name, as Prefect's server does not answer: %s", error)


def artifact_key(what: str, category: str) -> str:
    """Of an artifact of this category. Prefect takes a-z, 0-9 and dashes; digits tell `a_b` from `a-b`."""
    if "_" not in category:
        return f"{what}-{category}"
    return f"{what}-{category.replace('_', '-')}-{hashlib.sha256(category.encode()).hexdigest()[:8]}"


def find(client: SyncPrefectClient, which: FlowRunFilter) -> Iterator[FlowRun]:
    """Every run that the filter lets through."""
    offset = 0
    while page := client.read_flow_runs(flow_run_filter=which, limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def deployment(client: SyncPrefectClient, name: str) -> UUID:
    """The id of the deployment that is called as its flow."""
    try:
        return client.read_deployment_by_name(f"{name}/{name}").id
    except ObjectNotFound:
        raise Error(f"the server has no deployment {name}/{name}; run `prefect deploy --all`") from None
