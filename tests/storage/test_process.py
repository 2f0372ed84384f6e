"""Commands are watched, stopped in time, and leave nothing running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from destseg.storage import process

# A command whose own child outlives it unless the whole group is ended; both write their ids first.
FAMILY = "echo $$ >> pids; sh -c 'echo $$ >> pids; sleep 60' & wait"


def gone(pids: list[int], seconds: float = 30) -> bool:
    """Whether none of these processes runs any more, after waiting for that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(running(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # a zombie that nobody has collected yet does not run
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile, or this system has no /proc
        return not Path("/proc/self").exists()


def written(path: Path, lines: int) -> list[int]:
    """The process ids in a file, once it has that many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and len(found := path.read_text().split()) == lines:
            return [int(pid) for pid in found]
        time.sleep(0.02)
    raise AssertionError(f"{path} has not {lines} lines after 30 s")


def caller(tmp_path: Path) -> subprocess.Popen[bytes]:
    """Another Python that runs FAMILY."""
    code = (
        "import signal, sys, pathlib; from destseg.storage import process;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's background job has it ignored
        f"process.run(['sh', '-c', {FAMILY!r}], cwd=pathlib.Path(sys.argv[1]))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)


def test_output_is_returned_and_given_to_the_log_line_by_line(tmp_path: Path) -> None:
    seen: list[str] = []
    script = "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two >&2; printf three"

    def log(line: str) -> None:
        seen.append(line)
        (tmp_path / "go").touch()  # the command ends only when its first line has been read

    output = process.run(["sh", "-c", script], cwd=tmp_path, timeout=60, log=log)
    assert output == "one\ntwo\nthree"
    assert seen == ["one", "two", "three"]


def test_a_command_runs_where_it_is_told_to(tmp_path: Path) -> None:
    assert process.run(["pwd", "-P"], cwd=tmp_path) == str(tmp_path.resolve())


def test_a_failure_says_what_was_run_and_how_it_ended(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError, match="exit code 3") as caught:
        process.run(["sh", "-c", "seq 100; exit 3"], cwd=tmp_path)
    assert caught.value.rc == 3
    assert caught.value.tail.splitlines()[-1] == "100"
    assert len(caught.value.tail.splitlines()) == 20


def test_a_program_that_is_not_there_is_a_failure_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError, match="no-such-program: No such file"):
        process.run(["no-such-program"], cwd=tmp_path)


def test_a_command_killed_from_outside_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError) as caught:
        process.run(["sh", "-c", "kill -9 $$"], cwd=tmp_path)
    assert caught.value.rc == 128 + signal.SIGKILL


def test_a_timeout_ends_the_command_and_its_children(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError, match="more than 3 s"):
        process.run(["sh", "-c", FAMILY], cwd=tmp_path, timeout=3)
    assert gone(written(tmp_path / "pids", 2))


def test_a_timeout_holds_for_a_command_that_has_closed_its_output(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError, match="more than 3 s"):
        process.run(["sh", "-c", "exec >/dev/null 2>&1; sleep 60"], cwd=tmp_path, timeout=3)


def test_a_command_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    with pytest.raises(process.ProcessError):
        process.run(["sh", "-c", "trap '' TERM; echo $$ > pids; while :; do sleep 0.2; done"], cwd=tmp_path, timeout=3)
    assert gone(written(tmp_path / "pids", 1))


def test_an_exception_in_the_caller_ends_the_command(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", f"echo begun; {FAMILY}"], cwd=tmp_path, log=stop)
    assert not (tmp_path / "pids").exists() or gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_survives_a_caller_that_is_killed(tmp_path: Path, signum: signal.Signals) -> None:
    other = caller(tmp_path)
    pids = written(tmp_path / "pids", 2)
    other.send_signal(signum)
    assert other.wait(30) != 0
    assert gone(pids)


def test_what_a_command_leaves_in_the_background_neither_holds_us_up_nor_survives(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 600 & echo $! > pids; echo done"]
    assert process.run(command, cwd=tmp_path, timeout=300) == "done"
    assert gone(written(tmp_path / "pids", 1))


def test_the_environment_is_quiet_and_has_this_python_first() -> None:
    found = process.environment({"SOMETHING": "else"})
    assert found.items() >= process.QUIET.items()
    assert found["SOMETHING"] == "else"
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
