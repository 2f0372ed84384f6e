"""One owner of a local folder at a time; the lock ends with its process, however that ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destseg import Error
from destseg.storage.locks import taken

_PATIENCE_SECONDS = 0.5  # longer than `held` holds it


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds <folder>/lock, or an Error when another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not taken(file):
            if time.monotonic() > end:
                raise Error(f"another `destseg demo` or `destseg up` works in {folder}: wait for it, or end it")
            time.sleep(0.05)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def held(folder: Path) -> str | None:
    """The id of the process that holds the lock, None when nobody does; changes nothing."""
    path = folder / "lock"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        return None if taken(file, shared=True) else file.read().strip() or "(unknown)"
