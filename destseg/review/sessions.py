"""Who is signed in: kept in this process's memory only, under a random id that a cookie holds."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry.rest import Rest
from destseg.review.memory import Memory

if TYPE_CHECKING:  # an act has its session
    from destseg.review.acts import Act

IDLE = 60 * 60.0  # seconds without a request after which a session ends
LONGEST = 12 * 60 * 60.0  # a shift, and the hours beside it
MOST = 500  # sessions at once
MOST_OF_ONE = 20  # of one account: a further one ends the one that was not used for longest


@dataclass(kw_only=True, eq=False)
class Session:
    """One signed-in account. Its password leaves this object for MLflow and for the environment of an act only."""

    user: str
    registry: Rest
    password: str | None = field(default=None, repr=False)
    """None where the registry has no accounts."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    memory: Memory = field(default_factory=Memory, repr=False)
    overview: Memory = field(default_factory=Memory, repr=False)
    """All categories at a glance, which the account's next session begins with."""
    acts: "dict[str, Act]" = field(default_factory=dict, repr=False)
    """What it has decided, by id, the oldest first."""
    begun: float
    used: float

    def environment(self) -> dict[str, str]:
        """What a command needs in its environment to act as this account."""
        found = {"MLFLOW_TRACKING_URI": self.registry.url}
        if self.password is not None:
            found |= {"MLFLOW_TRACKING_USERNAME": self.user, "MLFLOW_TRACKING_PASSWORD": self.password}
        return found

    def forget(self) -> None:
        """Something was changed: the registry is asked anew."""
        self.memory.forget()
        self.overview.forget()

    def close(self) -> None:
        """Ends its connections and lets go of what it has decided, so that no password outlives it."""
        self.registry.close()
        self.acts = {}


class Sessions:
    """All sessions of the process; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_id: dict[str, Session] = {}
        self._overviews: dict[str, Memory] = {}

    def begin(self, user: str, registry: Rest, password: str | None) -> Session:
        """A new session under a new id."""
        now = self._clock()
        with self._lock:
            self._forget_ended(now)
            overview = self._overviews.setdefault(user, Memory())
            session = Session(user=user, registry=registry, password=password, overview=overview, begun=now, used=now)
            own = sorted((one for one in self._by_id.values() if one.user == user), key=lambda one: one.used)
            for one in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
                self._by_id.pop(one.id).close()
            if len(self._by_id) >= MOST:
                raise Error(f"{MOST} sessions are open, the most there may be; sign out elsewhere or try again later")
            self._by_id[session.id] = session
        return session

    def find(self, id_: str | None) -> Session | None:
        """The session with this id, unless it has ended."""
        now = self._clock()
        with self._lock:
            self._forget_ended(now)
            session = self._by_id.get(id_ or "")
            if session is not None:
                session.used = now
            return session

    def end(self, session: Session) -> None:
        """Signs out: the id is worth nothing from now on."""
        with self._lock:
            self._by_id.pop(session.id, None)
        session.close()

    def _ended(self, session: Session, now: float) -> bool:
        return now - session.used > IDLE or now - session.begun > LONGEST

    def _forget_ended(self, now: float) -> None:
        for id_ in [id_ for id_, session in self._by_id.items() if self._ended(session, now)]:
            self._by_id.pop(id_).close()
