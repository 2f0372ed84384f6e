"""What a long run of several processes is doing: a line at least every ten seconds, and the most memory it held."""

import logging
import threading
import time
from types import TracebackType
from typing import Self

import psutil

log = logging.getLogger(__name__)
SILENCE_SECONDS = 8.0


class Progress:
    """As a context, watches this process and everything it started; `say` and `doing` are for any thread."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.peak_memory_mb = 0.0
        self._doing = "starting"
        self._spoke = self.started
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self.started

    def doing(self, what: str) -> None:
        """A new step, which silence is explained with until the next one."""
        self._doing = what
        self.say(what)

    def say(self, line: str) -> None:
        """One line, with the time since the start."""
        self._spoke = time.monotonic()
        minutes, seconds = divmod(int(self.seconds), 60)
        log.info("%d:%02d  %s", minutes, seconds, line)

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.peak_memory_mb = max(self.peak_memory_mb, memory_mb())
            if time.monotonic() - self._spoke > SILENCE_SECONDS:
                self.say(f"still at: {self._doing}")


def memory_mb() -> float:
    """Memory of this process and its descendants in MB of 10^6 bytes; who shares a page bears a part of it."""
    ours = psutil.Process()
    return sum(_memory(process) for process in [ours, *ours.children(recursive=True)]) / 1e6


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:  # gone by now
        return 0
    return int(getattr(full, "pss", full.rss))
