"""A local folder's Prefect server over HTTP, with its login: importing Prefect's client would take seconds."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from destseg import Error
from destseg.local import loopback


def call(env: Mapping[str, str], path: str, content: Any = None) -> Any:
    """The answer to GET <api>/`path`, or to POST when there is `content`; an Error names the address."""
    url = f"{env['PREFECT_API_URL']}/{path}"
    login = base64.b64encode(env["PREFECT_API_AUTH_STRING"].encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    body = None if content is None else json.dumps(content).encode()
    try:
        with loopback.direct.open(urllib.request.Request(url, data=body, headers=headers), timeout=30) as response:
            return json.load(response)
    except (OSError, ValueError) as error:
        raise Error(f"Prefect's server does not answer {url} as expected: {error}") from error


def has_pool(env: Mapping[str, str], pool: str) -> bool:
    """Whether there is a work pool of that name; one that is there keeps what was set for it."""
    found = call(env, "work_pools/filter", {"work_pools": {"name": {"any_": [pool]}}})
    return bool(found)


def online_workers(env: Mapping[str, str], pool: str) -> int:
    """How many workers of the work pool `pool` have given a sign of life lately."""
    return len(call(env, f"work_pools/{pool}/workers/filter", {"workers": {"status": {"any_": ["ONLINE"]}}}))


def crash_unfinished(env: Mapping[str, str]) -> list[str]:
    """Makes every deployed flow run that is under way `Crashed`, and returns their names; for when no worker runs.

    Whoever should have said how they ended was ended with them: Prefect would show them `Running` for ever.
    """
    wanted = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}, "deployment_id": {"is_null_": False}}
    crashed = {"type": "CRASHED", "name": "Crashed", "message": "`destseg up` ended while it was under way"}
    names = []
    while found := call(env, "flow_runs/filter", {"flow_runs": wanted}):  # a page of 200
        for run in found:
            call(env, f"flow_runs/{run['id']}/set_state", {"state": crashed, "force": True})
            names.append(run["name"])
    return names


def deployments(env: Mapping[str, str]) -> dict[str, str]:
    """The work pool of each deployment; more than 200 are not looked at."""
    return {found["name"]: found["work_pool_name"] for found in call(env, "deployments/filter", {"limit": 200})}
