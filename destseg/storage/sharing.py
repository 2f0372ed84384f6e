"""Who works with the DVC cache below $DESTSEG_CACHE: many runs at once, or one collection of what is unused."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from destseg import Error

log = logging.getLogger(__name__)
LOCK = "dvc.lock"  # beside the cache's folder `dvc`; never removed, so that all lock the same file


@contextmanager
def using_cache(cache: Path) -> Iterator[None]:
    """Nothing is collected from `cache` while the context lives; waits for a collection that is at it."""
    with _opened(cache) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for a collection of unused objects in %s", cache)
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def collecting(cache: Path) -> Iterator[bool]:
    """Whether nobody uses `cache`, nor will while the context lives."""
    with _opened(cache) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _opened(cache: Path) -> Iterator[IO[str]]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / LOCK).open("a")
    except OSError as error:
        raise Error(
            f"{cache / LOCK} cannot be written ({error.strerror}); set DESTSEG_CACHE to a folder that can"
        ) from None
    with file:  # closing it ends the lock, and so does the death of the process
        yield file
