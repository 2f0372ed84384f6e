"""One owner of a local folder at a time; the lock ends with its process, however that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destseg import Error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds <folder>/lock, or an Error when another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Error(f"another `destseg demo` or `destseg up` works in {folder}: wait for it, or end it") from None
        yield
