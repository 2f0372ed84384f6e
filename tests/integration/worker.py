"""A Prefect worker that a test may kill, alone or with all that it runs."""

import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from destseg.local import children


class Worker:
    """`prefect worker start`."""

    def __init__(self, pool: str, limit: int, *, folder: Path, env: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", str(limit)]
        with log.open("a") as output:
            self.process = children.start(command, cwd=folder, env=env, output=output)

    def kill(self) -> None:
        """SIGKILL for the worker and everything below it at once, as when the machine loses its power."""
        ours = psutil.Process(self.process.pid)
        processes = [ours, *ours.children(recursive=True)]
        for process in processes:  # so that none sees another die
            process.suspend()
        for process in processes:
            process.kill()
        self.process.wait()

    def kill_alone(self) -> None:
        """SIGKILL for the worker only: the flow runs that it started are processes of their own."""
        (worker,) = psutil.Process(self.process.pid).children()
        worker.kill()
        self.process.wait()
