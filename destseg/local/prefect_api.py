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


def deployments(env: Mapping[str, str]) -> dict[str, str]:
    """The work pool of each deployment; more than 200 are not looked at."""
    return {found["name"]: found["work_pool_name"] for found in call(env, "deployments/filter", {"limit": 200})}
