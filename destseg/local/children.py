"""The processes that a local folder owns: started under a guard, known by a mark, ended together."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

import psutil

from destseg.storage import guard

# A child of a child carries it too, so that what a run left behind, guard and all killed, is found by the next one.
MARK = "DESTSEG_LOCAL"
# Set for workers, and so for their flow runs: they are ended while the servers still listen to what they report.
WORKER = {"DESTSEG_LOCAL_ROLE": "worker"}
GRACE_SECONDS = 10.0


def mark(folder: Path) -> dict[str, str]:
    """The variable that says which local folder a process works for."""
    return {MARK: str(folder.resolve())}


def start(command: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: IO[str]) -> subprocess.Popen[bytes]:
    """Starts `command` under the guard, which ends its process group when we close its standard input or are gone."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of the process group of a `start`ed process that has ended; flow runs have their own."""
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):  # most often nothing is left
        os.killpg(process.pid, signal.SIGKILL)


def owned(folder: Path, role: Mapping[str, str] = MappingProxyType({})) -> list[psutil.Process]:
    """This user's processes that work for `folder` and have the variables `role`, those of a killed run among them."""
    wanted = mark(folder) | dict(role)
    ourselves = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in ourselves and wanted.items() <= process.environ().items():
                found.append(process)
        except psutil.Error:  # of another user, or gone by now
            continue
    return found


def end_all(folder: Path) -> int:
    """Ends every process that works for `folder`, the workers first. Returns how many there were."""
    return _end(folder, WORKER) + _end(folder, {})


def _end(folder: Path, role: Mapping[str, str]) -> int:
    """Ends the processes of this role: asked first, killed 10 s later."""
    processes = owned(folder, role)
    for process in processes:
        _send(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in {*alive, *owned(folder, role)}:  # a dying process may have started another meanwhile
        _send(process, "kill")
        processes.append(process)
    psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    return len(set(processes))


def _send(process: psutil.Process, what: str) -> None:
    try:
        getattr(process, what)()
    except psutil.NoSuchProcess:
        return
