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


class Attempts:
    """Failed attempts of the last minutes; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def wait(self, address: str, account: str) -> float:
        """Seconds until the next attempt is allowed; 0 when it is now."""
        now = self._clock()
        with self._lock:
            self._forget(now)
            if len(self._failures) >= MOST:
                return WINDOW
            waits = [
                failures[-most] + WINDOW - now
                for key, most in _keys(address, account)
                if len(failures := self._failures.get(key, deque())) >= most
            ]
        return max(waits, default=0.0)

    def failed(self, address: str, account: str) -> None:
        """Counts a failure. Called before the password is looked at, so that many at once are no way around."""
        with self._lock:
            for key, most in _keys(address, account):
                self._failures.setdefault(key, deque(maxlen=2 * most)).append(self._clock())

    def succeeded(self, address: str, account: str) -> None:
        """Forgets what this account failed from this address, and the attempt that was counted beforehand."""
        with self._lock:
            for key, most in _keys(address, account):
                failures = self._failures.get(key)
                if failures and most == BY_BOTH:
                    failures.clear()
                elif failures:
                    failures.pop()

    def _forget(self, now: float) -> None:
        for key, failures in list(self._failures.items()):
            while failures and now - failures[0] > WINDOW:
                failures.popleft()
            if not failures:
                del self._failures[key]


def _keys(address: str, account: str) -> list[tuple[tuple[str, str], int]]:
    """Accounts are told apart by their first letters, so that a long name costs no memory."""
    account = account[:100]
    return [((address, account), BY_BOTH), ((address, ""), BY_ADDRESS), (("", account), BY_ACCOUNT)]
