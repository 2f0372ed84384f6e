"""Making the next thing while the last one is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items; a thread makes each while the one before it is used, and no more than that one."""

    def make() -> list[T]:
        return [item for _, item in zip((0,), items, strict=False)]  # empty at the end

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make)
        while made := coming.result():
            coming = pool.submit(make)
            yield made[0]
