"""A real server for a test file: under the guard, so that it ends with the tests however they end."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from destseg.local import children, loopback
from destseg.storage.process import QUIET

AUTH = Path(__file__).parents[2] / "deploy/mlflow-auth.ini"
SECONDS = 240.0  # started cold on a busy machine


@contextmanager
def running(command: Sequence[str], folder: Path, env: Mapping[str, str], health: str) -> Iterator[None]:
    """`command` in `folder`, from its first answer at `health` on; its output in server.log."""
    log = folder / "server.log"
    with log.open("w") as output:
        process = children.start(command, cwd=folder, env=env, output=output)
    assert process.stdin is not None
    try:
        until(lambda: answers(health) or process.poll() is not None, log)
        assert process.poll() is None, log.read_text()[-2000:]
        yield
    finally:
        process.stdin.close()
        process.wait(60)


@contextmanager
def mlflow_server(folder: Path, *, accounts: bool = True, **own: str) -> Iterator[str]:
    """Address of an MLflow server, with the administrator's account or with none; `own` goes into its environment."""
    url = loopback.address(folder, "mlflow")
    command = [sys.executable, "-m", "mlflow", "server", *(["--app-name", "basic-auth"] if accounts else [])]
    command += ["--workers", "1", "--host", loopback.HOST, "--port", url.rpartition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env |= QUIET | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(AUTH),
        "MLFLOW_AUTH_ADMIN_PASSWORD": password("admin"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a long secret of the server",
    }
    with running(command, folder, env | own, f"{url}/health"):
        yield url


def password(name: str) -> str:
    """Of an account of `mlflow_server`."""
    return f"a long password of {name}"


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def until(ready: Callable[[], Any], log: Path | None = None) -> Any:
    """The first answer that is something."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.3)
    raise AssertionError(log.read_text()[-2000:] if log else f"nothing came within {SECONDS:.0f} s")
