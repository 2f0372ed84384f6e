"""A flow runs the code of its workspace, and tries again only what may pass."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prefect.logging import disable_run_logger

from destseg import Error
from destseg.storage.process import ProcessError
from flows.commands import destseg, may_pass
from flows.runs import artifact_key


@pytest.fixture(autouse=True)
def without_a_flow_run() -> Iterator[None]:
    with disable_run_logger():
        yield


def code(root: Path, text: str) -> Path:
    """A workspace whose `destseg` is this program."""
    (root / "destseg").mkdir()
    (root / "destseg" / "__init__.py").touch()
    (root / "destseg" / "__main__.py").write_text(text)
    return root


def test_the_result_is_the_last_line_of_json_that_the_code_of_the_workspace_prints(tmp_path: Path) -> None:
    root = code(
        tmp_path,
        "import json, sys\n"
        'print(\'{"not": "the last"}\')\n'
        "print(json.dumps({'arguments': sys.argv[1:]}), flush=True)\n"
        "print('a line of progress', file=sys.stderr)\n",
    )
    assert destseg(root, "register", "washer", timeout=60) == {"arguments": ["register", "washer", "--json"]}


def test_no_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Error, match="printed no result"):
        destseg(code(tmp_path, "print('done')"), "register", "washer", timeout=60)


def test_a_failure_repeats_what_was_said(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="no such category"):
        destseg(code(tmp_path, "raise SystemExit('no such category')"), "register", "washer", timeout=60)


@pytest.mark.parametrize(
    "said",
    [
        "ssh: Could not resolve hostname git.example: Temporary failure in name resolution",
        "fatal: the remote end hung up unexpectedly",
        "ERROR: unexpected error - Could not connect to the endpoint URL",
        "botocore.exceptions.ConnectTimeoutError: Connect timeout on endpoint URL: timed out",
        "An error occurred (SlowDown) when calling the PutObject operation",
        "sqlite3.OperationalError: database is locked",
    ],
)
def test_an_absent_server_may_come_back(said: str) -> None:
    assert may_pass(ProcessError(["dvc", "push"], 255, [said], None))


def test_a_prefect_server_that_is_away_may_come_back() -> None:
    request = httpx.Request("POST", "http://127.0.0.1:4200/api/events")
    assert may_pass(httpx.ConnectError("connection refused", request=request))
    for code, passing in [(503, True), (500, True), (401, False), (422, False)]:
        answer = httpx.Response(code, request=request)
        assert may_pass(httpx.HTTPStatusError("refused", request=request, response=answer)) is passing


@pytest.mark.parametrize(
    "error",
    [
        ProcessError(["dvc", "repro"], 255, ["ERROR: failed to reproduce 'student@washer'"], None),
        ProcessError(["dvc", "repro"], None, ["step 100 of 200"], 60.0),
        Error("category 'nut' is not in params.yaml"),
        None,
    ],
)
def test_everything_else_stays(error: BaseException | None) -> None:
    assert not may_pass(error)


def test_no_two_categories_share_the_key_of_an_artifact() -> None:
    keys = [artifact_key("batch", category) for category in ("a-b", "a_b", "a_-b", "a-_b")]
    assert len(set(keys)) == 4
    assert all(re.fullmatch("[a-z0-9-]+", key) for key in keys)
