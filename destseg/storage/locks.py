"""Advisory locks on open files; closing the file ends the lock, and so does the death of its process."""

import fcntl
from typing import IO, Any


def taken(file: IO[Any], *, shared: bool = False) -> bool:
    """Whether `file` is locked for this process now, without waiting; `shared` only keeps out who wants it alone."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_shared(file: IO[Any]) -> None:
    """Waits for whoever has it alone."""
    fcntl.flock(file, fcntl.LOCK_SH)
