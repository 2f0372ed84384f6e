"""Commands in a process group of their own: quiet, their output streamed, and nothing of them left when we stop."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from destseg import Error
from destseg.storage import guard

# Every switch against telemetry and update checks of the tools we start (DVC's update check is off in .dvc/config),
# and no checksums on S3 requests beyond what every S3-compatible server understands.
QUIET: dict[str, str] = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
_TAIL = 20  # lines of output that an error repeats
_SILENCE = 10.0  # seconds without a line after which the log is told that the command still runs


class ProcessError(Error):
    """A command that failed: `rc` is its exit code (None when it ran out of time), `tail` its last lines."""

    def __init__(self, command: Sequence[str], rc: int | None, lines: Sequence[str], timeout: float | None) -> None:
        self.rc = rc
        self.tail = "\n".join(lines[-_TAIL:])
        ended = f"took more than {timeout:g} s and was stopped" if rc is None else f"failed with exit code {rc}"
        super().__init__(f"`{' '.join(command)}` {ended}; its last lines:\n{self.tail or '(none)'}")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, QUIET, this Python's folder first on PATH (so that `python` and `dvc` are its own), and `extra` on top."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **QUIET, "PATH": path, **(extra or {})}


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    log: Callable[[str], None] | None = None,
) -> str:
    """Run `command` and return its output (both streams); `log` gets each line as it comes, and signs of life between.

    `env` is the whole environment (default: environment()). Its process group ends with this call, however this ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *command],
        cwd=cwd,
        env=environment() if env is None else dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    lines: list[str] = []
    try:
        in_time = _collect(process, command, lines, log, None if timeout is None else time.monotonic() + timeout)
    finally:
        _end(process)
    if not in_time or process.returncode:
        raise ProcessError(command, process.returncode if in_time else None, lines, timeout)
    return "\n".join(lines)


def _collect(
    process: subprocess.Popen[bytes],
    command: Sequence[str],
    lines: list[str],
    log: Callable[[str], None] | None,
    deadline: float | None,
) -> bool:
    """Append the output's lines to `lines` until it ends; False when `deadline` comes first."""
    assert process.stdout is not None
    source, rest = process.stdout.fileno(), b""
    begun = told = time.monotonic()

    def take(line: bytes) -> None:
        lines.append(line.decode(errors="replace").rstrip("\r"))
        if log is not None:
            log(lines[-1])

    while True:
        now = time.monotonic()
        if deadline is not None and now > deadline:
            return False
        if log is not None and now - told > _SILENCE:
            told = now
            log(f"{_short(command)}: running for {now - begun:.0f} s")
        ended = process.poll() is not None  # asked before reading, so that nothing written before the end is missed
        if select.select([source], [], [], 0 if ended else 0.2)[0]:
            if block := os.read(source, 65536):
                *whole, rest = (rest + block).split(b"\n")
                for line in whole:
                    take(line)
                told = now
                continue
            try:  # the output is closed, which a command may do long before it ends
                process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
        elif not ended:
            continue
        if rest:  # all is read, or the command is over and a process that it left behind holds the output open
            take(rest)
        return True


def _short(command: Sequence[str]) -> str:
    """`destseg register` of `/usr/bin/python3 -m destseg register washer --json`."""
    words = command[2:] if list(command[1:2]) == ["-m"] else command
    return " ".join(words[:2])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group: the guard sees its input close, sends SIGTERM and, GRACE seconds later, SIGKILL."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(guard.GRACE + 2)
    finally:
        with contextlib.suppress(ProcessLookupError):  # most often nothing is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
