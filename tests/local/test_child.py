"""A process that ends is started again, later each time, and says so; its log goes on and stays bounded."""

import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from destseg.local import child, children, loopback
from destseg.local.child import Backoff, Child, bound


def make(folder: Path, program: str, port: int | None = None) -> Child:
    return Child(
        title="the test server",
        command=[sys.executable, "-c", program],
        cwd=folder,
        env=os.environ | children.mark(folder),
        log=folder / "logs" / "test.log",
        port=port,
    )


def tend_until(found: Child, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, found
        found.tend()
        time.sleep(0.05)


def test_the_pauses_double_up_to_a_minute_for_ever() -> None:
    backoff = Backoff()
    assert [backoff.after(0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert {backoff.after(299.0) for _ in range(2000)} == {60}


def test_five_minutes_alive_count_as_a_new_beginning() -> None:
    backoff = Backoff(ends=9)
    assert [backoff.after(300.0), backoff.after(0.0)] == [1, 2]


def test_what_ends_is_started_again_and_its_last_line_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = make(tmp_path, "print('out of paint\\n'); raise SystemExit(3)")
    found.start()
    with caplog.at_level(logging.INFO):
        tend_until(found, lambda: found.state == "waiting")
        tend_until(found, lambda: found.restarts == 1)
        tend_until(found, lambda: found.state == "waiting")
    assert "the test server ended (exit code 3)" in caplog.messages[0]
    assert caplog.messages[0].endswith("test.log ends: out of paint; it is started again in 1 s")
    assert caplog.messages[-1].endswith("it is started again in 2 s")
    assert found.last_exit is not None
    assert found.last_exit.startswith("exit code 3 at ")
    assert found.log.read_text().count("out of paint") == 2


def test_a_kill_is_called_by_its_name_and_what_stays_of_the_group_is_ended(tmp_path: Path) -> None:
    found = make(tmp_path, "import time; time.sleep(600)")
    found.start()

    def guards() -> list[psutil.Process]:
        return [process for process in children.owned(tmp_path) if "guard.py" in " ".join(process.cmdline())]

    tend_until(found, lambda: bool(guards()))  # a busy machine takes a while to start it
    guards()[0].kill()  # what it guarded goes on, and would hold the port
    tend_until(found, lambda: found.state == "waiting")
    assert found.last_exit is not None
    assert found.last_exit.startswith("killed by SIGKILL at ")
    deadline = time.monotonic() + 10
    while children.owned(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children.owned(tmp_path) == []


def test_a_port_that_another_process_took_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    port = int(loopback.address(tmp_path, "test").rpartition(":")[2])
    found = make(tmp_path, "pass", port)
    found.start()
    with socket.socket() as other, caplog.at_level(logging.INFO):
        other.bind((loopback.HOST, port))
        other.listen()
        tend_until(found, lambda: "is taken by" in caplog.text)
        assert f"port {port} is taken by process {os.getpid()}" in caplog.text
        assert (found.state, found.restarts) == ("waiting", 0)
    tend_until(found, lambda: found.restarts == 1)


def test_what_cannot_be_started_is_tried_again_and_ends_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = make(tmp_path, "pass")
    found.start()
    found.cwd = tmp_path / "not there yet"
    tend_until(found, lambda: "cannot be looked after" in caplog.text)
    assert (found.state, found.restarts) == ("waiting", 0)
    found.cwd.mkdir()
    tend_until(found, lambda: found.restarts == 1)


def test_a_long_log_moves_aside_while_its_process_writes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MOST_LOG_BYTES", 10)
    log = tmp_path / "test.log"
    with log.open("a") as output:
        output.write("the first line\n")
        output.flush()
        bound(log)
        output.write("the next\n")
    assert (tmp_path / "test.log.1").read_text() == "the first line\n"
    assert log.read_text() == "the next\n"
