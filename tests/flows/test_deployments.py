"""prefect.yaml says what the flows are, when they run and what starts them."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from flows import rescue
from flows.ingest import VERSION_CREATED

PROJECT = Path(__file__).parents[2]
CONTENT: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
DEPLOYMENTS: dict[str, Any] = {found["name"]: found for found in CONTENT["deployments"]}
LONG = {"ingest", "retrain", "retrain-all", "monitor", "housekeeping"}
FLOWS = {path.stem for path in (PROJECT / "flows").glob("*.py") if "@flow" in path.read_text()}


def load(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def triggers(name: str) -> dict[str, dict[str, Any]]:
    return {trigger["name"]: trigger for trigger in DEPLOYMENTS[name].get("triggers", [])}


def test_every_flow_is_a_deployment_of_its_own_name() -> None:
    assert {deployment["entrypoint"].split(".")[1] for deployment in CONTENT["deployments"]} == FLOWS
    for name, deployment in DEPLOYMENTS.items():
        assert load(deployment).name == name


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_what_starts_a_deployment_gives_it_the_parameters_that_it_has(name: str) -> None:
    wanted = inspect.signature(load(DEPLOYMENTS[name])).parameters
    needed = {name for name, parameter in wanted.items() if parameter.default is inspect.Parameter.empty}
    for trigger in triggers(name).values():
        given = set(trigger.get("parameters", {}))
        assert needed <= given <= set(wanted), trigger["name"]
    for schedule in DEPLOYMENTS[name]["schedules"]:
        given = set(schedule.get("parameters", {}))
        assert needed <= given <= set(wanted), schedule["slug"]


def test_retraining_waits_for_the_event_that_ingest_emits() -> None:
    (trigger,) = triggers("retrain").values()
    assert trigger["expect"] == [VERSION_CREATED]
    assert trigger["parameters"] == {"category": "{{ event.payload.category }}"}


def test_only_training_waits_for_a_gpu() -> None:
    assert [name for name, found in DEPLOYMENTS.items() if found["work_pool"]["name"] == "gpu"] == ["retrain"]


@pytest.mark.parametrize(
    ("trigger", "tag", "deployments"),
    [
        ("rescue-silent-run", "watched", {"ingest", "retrain", "retrain-all", "monitor", "housekeeping"}),
        (
            "rescue-run-that-never-began",
            "watched",
            {"ingest", "retrain", "retrain-all", "monitor", "housekeeping"},
        ),
        ("rescue-crashed-run", rescue.AGAIN, {"ingest", "retrain"}),
    ],
)
def test_what_is_rescued_is_found_by_its_tag(trigger: str, tag: str, deployments: set[str]) -> None:
    assert {name for name, found in DEPLOYMENTS.items() if tag in found.get("tags", [])} == deployments
    assert triggers("rescue")[trigger]["match_related"]["prefect.resource.id"] == f"prefect.tag.{tag}"


def test_every_deployment_has_the_tag_that_silent_runs_are_sought_by() -> None:
    assert [name for name, found in DEPLOYMENTS.items() if rescue.OURS not in found["tags"]] == []


def test_a_run_is_silent_after_three_heartbeats_and_is_given_two_more() -> None:
    silent = triggers("rescue")["rescue-silent-run"]
    beat = int(DEPLOYMENTS["retrain"]["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert rescue.HEARTBEAT in silent["after"]
    assert rescue.HEARTBEAT in silent["expect"]
    assert silent["within"] > 3 * beat
    assert inspect.signature(rescue.rescue).parameters["wait_seconds"].default > 2 * beat


def test_the_run_is_found_by_the_label_of_its_events() -> None:
    template = triggers("rescue")["rescue-silent-run"]["parameters"]["flow_run_id"]
    labels = {"prefect.resource.id": "prefect.flow-run.0b5c4c5a-0000-4000-8000-000000000000"}
    rendered = Environment(autoescape=False).from_string(template).render(labels=labels)
    assert rendered == "0b5c4c5a-0000-4000-8000-000000000000"
