"""prefect.yaml says what the flows are."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.ingest import VERSION_CREATED, ingest
from flows.retrain import retrain

PROJECT = Path(__file__).parents[2]
DEPLOYMENTS: dict[str, Any] = {
    found["name"]: found for found in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
}


@pytest.mark.parametrize("flow", [ingest, retrain])
def test_each_flow_is_deployed_from_the_installed_package(flow: Any) -> None:
    module, _, name = DEPLOYMENTS[flow.name]["entrypoint"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is flow


def test_retraining_waits_for_the_event_that_ingest_emits() -> None:
    (trigger,) = DEPLOYMENTS["retrain"]["triggers"]
    assert trigger["expect"] == [VERSION_CREATED]
    assert trigger["parameters"] == {"category": "{{ event.payload.category }}"}
