"""Who works with the DVC cache below $DESTSEG_CACHE: many runs at once, or one collection of what is unused."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from destseg import Error
from destseg.storage import locks

log = logging.getLogger(__name__)
LOCK = "dvc.lock"  # beside the cache's folder `dvc`; never removed, so that all lock the same file


@contextmanager
def using_cache(cache: Path) -> Iterator[None]:
    """Nothing is collected from `cache` while the context lives; waits for a collection that is at it."""
    with _opened(cache) as file:
        if not locks.taken(file, shared=True):
            log.info("waiting for a collection of unused objects in %s", cache)
            locks.wait_shared(file)
        yield


@contextmanager
def collecting(cache: Path) -> Iterator[bool]:
    """Whether nobody uses `cache`, nor will while the context lives."""
    with _opened(cache) as file:
        yield locks.taken(file)


@contextmanager
def alone(cache: Path, name: str) -> Iterator[bool]:
    """Whether nobody else on this cache is in such a context of `name`; an Error where that cannot be known."""
    with _opened(cache / "alone", f"{name}.lock") as file:
        try:
            mine = locks.taken(file)
        except OSError as error:
            raise Error(
                f"{file.name} cannot be locked ({error.strerror}); set DESTSEG_CACHE to a folder that can"
            ) from None
        yield mine


@contextmanager
def _opened(folder: Path, name: str = LOCK) -> Iterator[IO[str]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / name).open("a")
    except OSError as error:
        raise Error(
            f"{folder / name} cannot be written ({error.strerror}); set DESTSEG_CACHE to a folder that can"
        ) from None
    with file:
        yield file
