"""How often someone may try to sign in: failures are counted by address and by account, and forgotten in time."""

import threading
import time
from collections import deque
from collections.abc import Callable

WINDOW = 300.0  # seconds for which a failure counts
BY_BOTH = 5  # failures of one account from one address
BY_ADDRESS = 20
BY_ACCOUNT = 60  # more, so that a stranger does not lock somebody out at once
MOST = 10_000  # keys kept; when it is full, nobody new may try
LETTERS = 100  # of an account's name that tell it apart, so that a long one costs no memory


class Attempts:
    """Failed attempts of the last minutes; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def wait(self, address: str, account: str) -> float:
        """Seconds until the next attempt is allowed; 0 when it is now."""
        with self._lock:
            return self._wait(address, account)

    def begin(self, address: str, account: str) -> float:
        """The same; where it is 0, the attempt counts as failed until more is known: many at once are no way around."""
        with self._lock:
            wait = self._wait(address, account)
            if not wait:
                for key, _ in _keys(address, account):
                    self._failures.setdefault(key, deque()).append(self._clock())
            return wait

    def succeeded(self, address: str, account: str) -> None:
        """Forgets what this account failed from this address, and the attempt that was counted beforehand."""
        self.unanswered(address, account)
        with self._lock:
            self._failures.pop((address, account[:LETTERS]), None)

    def unanswered(self, address: str, account: str) -> None:
        """Takes back the attempt that was counted beforehand: nobody has said whether the password is right."""
        with self._lock:
            for key, _ in _keys(address, account):
                if failures := self._failures.get(key):
                    failures.pop()

    def _wait(self, address: str, account: str) -> float:
        now = self._clock()
        self._forget(now)
        if len(self._failures) >= MOST:
            return WINDOW
        waits = [
            failures[-most] + WINDOW - now
            for key, most in _keys(address, account)
            if len(failures := self._failures.get(key, deque())) >= most
        ]
        return max(waits, default=0.0)

    def _forget(self, now: float) -> None:
        for key, failures in list(self._failures.items()):
            while failures and now - failures[0] > WINDOW:
                failures.popleft()
            if not failures:
                del self._failures[key]


def _keys(address: str, account: str) -> list[tuple[tuple[str, str], int]]:
    """What is counted, and how many failures of it are too many."""
    account = account[:LETTERS]
    return [((address, account), BY_BOTH), ((address, ""), BY_ADDRESS), (("", account), BY_ACCOUNT)]
