"""What the registry said a moment ago, for one session: read once, however many pictures of a page ask for it."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Answer = TypeVar("Answer")
MOST = 200  # answers kept


@dataclass
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    at: float | None = None
    answer: Any = None


class Memory:
    """Answers by key with their age; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}

    def get(self, key: Hashable, seconds: float, ask: Callable[[], Answer]) -> Answer:
        """The answer if it is at most this old, else a new one; of several callers at once, one asks."""
        with self._lock:
            if key not in self._kept and len(self._kept) >= MOST:
                self._kept.clear()
            kept = self._kept.setdefault(key, _Kept())
        with kept.lock:
            if kept.at is None or self._clock() - kept.at > seconds:
                asked = self._clock()
                kept.answer, kept.at = ask(), asked
            answer: Answer = kept.answer
            return answer

    def known(self, key: Hashable) -> Any:
        """The answer of whatever age; None where there is none."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None else kept.answer

    def age(self, key: Hashable) -> float | None:
        """Seconds since this answer was asked for; None where there is none."""
        with self._lock:
            kept = self._kept.get(key)
        return None if kept is None or kept.at is None else self._clock() - kept.at

    def forget(self) -> None:
        """Something was changed: everything is asked anew."""
        with self._lock:
            self._kept.clear()
