"""The processes that a local folder owns: started under a guard, known by a mark, ended together."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from destseg.storage import guard

# A child of a child carries it too, so that what a run left behind, guard and all killed, is found by the next one.
MARK = "DESTSEG_LOCAL"
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


def owned(folder: Path) -> list[psutil.Process]:
    """Every process of this user that works for `folder`, those of an earlier, killed run among them."""
    name = str(folder.resolve())
    ourselves = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in ourselves and process.environ().get(MARK) == name:
                found.append(process)
        except psutil.Error:  # of another user, or gone by now
            continue
    return found


def end_all(folder: Path) -> int:
    """Ends every process that works for `folder`: asked first, killed 10 s later. Returns how many there were."""
    processes = owned(folder)
    for process in processes:
        _send(process, "terminate")
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in {*alive, *owned(folder)}:  # a dying process may have started another meanwhile
        _send(process, "kill")
        processes.append(process)
    psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    return len(set(processes))


def _send(process: psutil.Process, signal: str) -> None:
    try:
        getattr(process, signal)()
    except psutil.NoSuchProcess:
        return
