"""What was seen in a file, kept by the hash of its bytes, so that no file is decoded a second time."""

import functools
import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import PIL

from destseg.storage.memo import cache

_TABLE = "CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID"
_WAIT = 10.0  # seconds for another process that writes
_UNCOMMITTED = 1.0  # seconds whose facts a kill may lose, and that another process waits for
log = logging.getLogger(__name__)


class Remembered:
    """Facts by key in a SQLite file; threads and processes may share it. One that fails is left alone from then on."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._lock = Lock()
        self._committed = time.monotonic()

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept, or None."""
        with self._trying() as connection:
            row = connection.execute("SELECT facts FROM facts WHERE key = ?", (key,)).fetchone() if connection else None
            return json.loads(row[0]) if row else None
        return None

    def put(self, key: str, facts: dict[str, Any]) -> None:
        """Keeps `facts`, which JSON can hold."""
        with self._trying() as connection:
            if connection:
                connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, json.dumps(facts)))
                if time.monotonic() - self._committed > _UNCOMMITTED:
                    connection.commit()
                    self._committed = time.monotonic()

    def commit(self) -> None:
        """Writes what was put."""
        with self._trying() as connection:
            if connection:
                connection.commit()

    @contextmanager
    def _trying(self) -> Iterator[sqlite3.Connection | None]:
        with self._lock:
            try:
                yield self._connection
            except (sqlite3.Error, ValueError) as error:
                log.warning("what was seen in files is not remembered: %s", error)
                self._connection = None


@contextmanager
def remembered(name: str, *code: Path) -> Iterator[Remembered]:
    """The facts in $DESTSEG_CACHE/<name>/ that this very code, the text of the files `code`, and this Pillow found."""
    path = cache() / name / f"{_version(*code)}.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # in use, though nothing new may be written: storage/housekeeping.py removes what is not
        connection = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        log.warning("%s cannot be used, all files are decoded: %s", path, error)
        yield Remembered(None)
        return
    with closing(connection):
        known = Remembered(connection)
        with known._trying():
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut takes is seen again
            connection.execute(_TABLE)
        yield known
        known.commit()


@functools.cache
def _version(*code: Path) -> str:
    text = b"".join(path.read_bytes() for path in code)
    return hashlib.sha256(text + PIL.__version__.encode()).hexdigest()[:16]
