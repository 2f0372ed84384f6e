"""`destseg up` on an empty folder: what it starts, who may ask it, what survives a kill, and that nothing is left.

All tests share one running `up`; the last one ends it.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from destseg.local import children, loopback, prefect_api
from destseg.local.environment import BUCKET
from destseg.local.up import VARIABLES

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Line:
    """The running `up`, and a terminal beside it."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    def shell(self, script: str) -> str:
        """The output of a shell that has sourced the environment, in an empty home."""
        command = ["bash", "-euc", f"source {self.folder / VARIABLES}; {script}"]
        done = subprocess.run(command, cwd=self.folder.parent, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def server(self, name: str) -> dict[str, Any]:
        """What the page says of it."""
        with loopback.direct.open(f"{self.address('status')}/status.json", timeout=10) as response:
            servers: list[dict[str, Any]] = json.load(response)["servers"]
        return next((server for server in servers if server["name"] == name), {})

    def address(self, name: str) -> str:
        return f"http://{loopback.HOST}:{loopback.known_ports(self.folder)[name]}"

    def prefect(self) -> dict[str, str]:
        """The variables that prefect_api needs."""
        credentials: dict[str, str] = json.loads((self.folder / "credentials.json").read_text())
        return credentials | {"PREFECT_API_URL": f"{self.address('prefect')}/api"}

    def check(self) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "destseg", "up", "--check", "--folder", str(self.folder)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Those that work for the folder and have these words in their command line."""
        found = [(process, " ".join(process.cmdline())) for process in children.owned(self.folder)]
        return [process for process, line in found if all(word in line for word in words)]

    @property
    def said(self) -> str:
        return (self.folder.parent / "up.log").read_text()


def wait_for(condition: Callable[[], Any], line: Line, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, line.said
        time.sleep(0.2)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """`destseg up` on a folder that was not there, with everything started."""
    folder = tmp_path_factory.mktemp("line") / "folder"
    command = [sys.executable, "-m", "destseg", "up", "--folder", str(folder)]
    with (folder.parent / "up.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output)
    line = Line(folder, process)
    try:
        wait_for(lambda: "Ctrl-C ends all of it" in line.said or process.poll() is not None, line)
        assert process.poll() is None, line.said
        yield line
    finally:
        process.kill()
        process.wait()
        children.end_all(folder)


def test_a_new_folder_gets_an_origin_with_the_project_and_says_how_to_go_on(line: Line) -> None:
    listed = line.shell('git clone --quiet "$DESTSEG_ORIGIN" clone; git -C clone ls-files').splitlines()
    assert {"dvc.yaml", "params.yaml", "prefect.yaml", ".dvc/config"} <= set(listed)
    assert 'git clone "$DESTSEG_ORIGIN"' in line.said
    assert "destseg dataset add NAME" in line.said


def test_a_terminal_that_sourced_the_environment_reaches_all_servers(line: Line) -> None:
    assert line.shell("prefect work-pool ls") != ""
    line.shell(f"mkdir photographs; echo one > photographs/1.png; rclone copy photographs s3:{BUCKET}/inbox/bolt/")
    assert line.shell(f"rclone lsf s3:{BUCKET}/inbox/bolt/") == "1.png\n"
    assert json.loads(line.shell("destseg history bolt --json")) == []


def test_the_review_page_is_there_and_says_that_anyone_here_can_promote(line: Line) -> None:
    with loopback.direct.open(f"{line.address('review')}/", timeout=60) as response:
        assert "This registry has no accounts." in response.read().decode()


def test_the_review_page_sees_the_settings_that_were_pushed(line: Line) -> None:
    (page,) = line.processes("destseg", "review", "--port")[-1:]
    assert Path(page.cwd()) == line.folder / "checkout"
    line.shell(
        'git clone --quiet "$DESTSEG_ORIGIN" pushed; cd pushed; echo "# seen" >> params.yaml;'
        " git -c user.name=Ada -c user.email=ada@example.com commit --quiet -am seen; git push --quiet"
    )
    wait_for(lambda: "# seen" in (line.folder / "checkout/params.yaml").read_text(), line)


def test_prefect_answers_its_login_only_and_no_command_line_or_log_shows_it(line: Line) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        loopback.direct.open(f"{line.address('prefect')}/api/admin/version", timeout=30)
    assert prefect_api.call(line.prefect(), "admin/version")
    secret = line.prefect()["PREFECT_API_AUTH_STRING"]
    texts = [" ".join(process.cmdline()) for process in children.owned(line.folder)]
    texts += [path.read_text() for path in (line.folder / "logs").iterdir()]
    assert len(texts) > 10
    assert not any(secret in text for text in [*texts, line.said])


def test_each_pool_has_a_worker_and_the_flows_are_deployed(line: Line) -> None:
    wait_for(lambda: all(prefect_api.online_workers(line.prefect(), pool) for pool in ("cpu", "gpu")), line)
    assert {"ingest", "retrain"} <= prefect_api.deployments(line.prefect()).keys()
    (cpu,) = line.processes("guard.py", "--pool cpu --limit 4")
    (gpu,) = line.processes("guard.py", "--pool gpu --limit 1")
    assert cpu.environ()["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert gpu.environ()["DESTSEG_LOCAL_ROLE"] == "worker"


def test_places_of_concurrency_limits_are_kept_on_disk(line: Line) -> None:
    prefect_api.call(line.prefect(), "v2/concurrency_limits/", {"name": "gpu-memory", "limit": 1})
    content = {"names": ["gpu-memory"], "slots": 1, "lease_duration": 60}
    lease = prefect_api.call(line.prefect(), "v2/concurrency_limits/increment-with-lease", content)["lease_id"]
    assert (line.folder / "prefect" / "concurrency_leases" / f"{lease}.json").is_file()


def test_a_flow_run_whose_worker_is_gone_becomes_crashed(line: Line) -> None:
    """As `up` does at its start, before its workers."""
    (ingest,) = prefect_api.call(line.prefect(), "deployments/filter", {"flows": {"name": {"any_": ["ingest"]}}})
    content = {"name": "left-behind", "state": {"type": "RUNNING"}, "parameters": {"category": "bolt"}}
    run = prefect_api.call(line.prefect(), f"deployments/{ingest['id']}/create_flow_run", content)
    assert run["state_type"] == "RUNNING"
    assert prefect_api.crash_unfinished(line.prefect()) == ["left-behind"]
    assert prefect_api.call(line.prefect(), f"flow_runs/{run['id']}")["state_type"] == "CRASHED"
    assert prefect_api.crash_unfinished(line.prefect()) == []


@pytest.mark.parametrize("whom", ["rclone", "guard.py"])
def test_a_killed_server_answers_again_at_its_address_with_its_objects(line: Line, whom: str) -> None:
    line.shell(f"echo kept > kept; rclone copyto kept s3:{BUCKET}/inbox/kept.txt")
    address, restarts = line.address("s3"), line.server("s3")["restarts"]
    server = min(line.processes("serve s3", whom), key=lambda process: len(process.cmdline()))
    server.send_signal(signal.SIGKILL)
    wait_for(lambda: line.server("s3")["restarts"] == restarts + 1 and line.server("s3")["state"] == "up", line)
    assert line.address("s3") == address
    assert line.shell(f"rclone cat s3:{BUCKET}/inbox/kept.txt") == "kept\n"
    assert line.server("s3")["last_exit"].startswith("killed by SIGKILL")
    assert f"the s3 server is started again (restart {restarts + 1})" in line.said
    assert len(line.processes("rclone", "serve s3")) == 2  # it and its guard


def test_a_killed_worker_comes_back(line: Line) -> None:
    (worker,) = [found for found in line.processes("--pool gpu") if found not in line.processes("guard.py")]
    worker.kill()
    wait_for(lambda: line.server("worker-gpu")["restarts"] == 1 and len(line.processes("--pool gpu")) == 2, line)


def test_the_check_finds_all_of_it_well(line: Line) -> None:
    wait_for(lambda: prefect_api.online_workers(line.prefect(), "gpu"), line)
    done = line.check()
    assert done.stdout.endswith("everything that `destseg up` started is well\n"), done.stdout
    assert done.returncode == 0


def test_a_second_up_on_the_folder_is_refused_and_harms_nothing(line: Line) -> None:
    command = [sys.executable, "-m", "destseg", "up", "--folder", str(line.folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "another `destseg demo` or `destseg up` works in" in done.stderr
    assert line.server("s3")["state"] == "up"


def test_sigterm_ends_all_of_it_and_the_check_says_so(line: Line) -> None:
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(120) == 0, line.said
    assert children.owned(line.folder) == []
    assert line.said.endswith("ending the servers\n")
    done = line.check()
    assert done.returncode == 1
    assert "WRONG  lock: nobody holds it" in done.stdout
    assert "WRONG  s3: " in done.stdout
    assert "well   MLflow database: " in done.stdout
