"""What outlives a workspace and may be deleted at any time without changing a result: $DESTSEG_CACHE (DESIGN, 7)."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from destseg.storage import locks

CACHE = Path.home() / ".cache" / "destseg"
log = logging.getLogger(__name__)


def cache() -> Path:
    """DESTSEG_CACHE, else ~/.cache/destseg."""
    return Path(os.environ.get("DESTSEG_CACHE") or CACHE)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether `path` is this process's alone while the context lives, by <path>.lock; says why if it is not."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.with_name(f"{path.name}.lock").open("w"))
            mine = locks.taken(file)
            if not mine:
                log.warning("another process works with %s", path)
        except OSError as error:
            log.warning("%s cannot be written: %s", path.parent, error.strerror)
            mine = False
        yield mine
