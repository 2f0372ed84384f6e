"""destseg and dvc run in a workspace by a flow: their lines go to the run's log, their result comes back as JSON."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import httpx
from prefect import Task, get_run_logger
from prefect.client.schemas.objects import State, TaskRun

from destseg import Error
from destseg.storage import versions
from destseg.storage.process import ProcessError, run

# What git, DVC, boto3 and MLflow say when a server or the network was away for a moment.
_PASSING = re.compile(
    r"timed? ?out|connection (was )?(refused|reset|aborted|closed)|could not (resolve host|connect)|temporary failure|"
    r"temporarily unavailable|name resolution|max retries exceeded|remote end hung up|early eof|slow ?down|"
    r"service ?unavailable|bad gateway|internal ?error|too many requests|database is locked|"
    r"failed in each of \d+ attempts",
    re.IGNORECASE,
)


def destseg(root: Path, *arguments: str, timeout: float) -> Any:
    """The result of `destseg ARGUMENTS --json`, run by the code that is in the workspace."""
    command = [sys.executable, "-m", "destseg", *arguments, "--json"]
    lines = run(command, cwd=root, timeout=timeout, log=_log_progress).splitlines()
    for line in reversed(lines):  # standard error is among them
        if line.startswith(("{", "[")):
            return json.loads(line)
    raise Error(f"`destseg {' '.join(arguments)} --json` printed no result, expected a line of JSON; see the log above")


def dvc(root: Path, *arguments: str, timeout: float) -> None:
    """`dvc ARGUMENTS` in the workspace."""
    versions.dvc(root, *arguments, timeout=timeout, log=log_line)


def may_pass(error: BaseException | None) -> bool:
    """Whether a command, or a request to Prefect's server, failed of something that another attempt may not meet."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    if isinstance(error, httpx.TransportError):
        return True
    return isinstance(error, ProcessError) and error.rc is not None and bool(_PASSING.search(error.tail))


async def _retryable(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001  # Prefect's names
    """`may_pass` in the form of a task's `retry_condition_fn`."""
    return may_pass(await state.aresult(raise_on_failure=False))


class Retries(TypedDict):
    """Arguments of `prefect.task`."""

    retries: int
    retry_delay_seconds: list[float]
    retry_condition_fn: Callable[..., Any]


PERSISTENT = Retries(retries=3, retry_delay_seconds=[5.0, 30.0, 120.0], retry_condition_fn=_retryable)
"""A task that talks to a server, tried again only where the failure may pass."""


def log_line(line: str) -> None:
    """A line of a command's output, into the run's log."""
    if line.strip():
        get_run_logger().info("%s", line)


def _log_progress(line: str) -> None:
    """The same without the result, which is for the flow."""
    if not line.startswith(("{", "[")):
        log_line(line)
