"""What servers cost while they run: processor time and memory by name, and how much a database's files grow."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import psutil


class Sampler:
    """Watches the processes `pids` with their children, and the folder of a database, from now on."""

    def __init__(self, pids: Mapping[str, int], database: Path) -> None:
        self._roots = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._database = database
        self._began, self._cpu, self._bytes = time.monotonic(), self._seconds(), _size(database)
        self._peak_mb: dict[str, float] = dict.fromkeys(pids, 0.0)

    def look(self) -> None:
        """Takes the memory as it is now."""
        for name, root in self._roots.items():
            used = sum(_memory(process) for process in [root, *root.children(recursive=True)]) / 1e6
            self._peak_mb[name] = max(self._peak_mb[name], round(used))

    def summary(self) -> dict[str, dict[str, float]]:
        """By name: cores that were busy on average, and the most memory that was seen, flow runs with their worker."""
        passed, now = time.monotonic() - self._began, self._seconds()
        return {
            name: {"cores": round((now[name] - self._cpu[name]) / passed, 3), "peak_memory_mb": self._peak_mb[name]}
            for name in self._roots
        }

    def database_growth_mb(self) -> float:
        """MB of 10^6 bytes that the database's files have grown by."""
        return round((_size(self._database) - self._bytes) / 1e6, 1)

    def _seconds(self) -> dict[str, float]:
        """Processor seconds, those of children that have ended among them."""
        found = {}
        for name, root in self._roots.items():
            found[name] = sum(_cpu(process) for process in [root, *root.children(recursive=True)])
        return found


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # gone by now
        return 0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the database drops files as it likes
            total += path.stat().st_size
    return total
