"""One thing is made ahead, in order, and errors come where they belong."""

import threading
from collections.abc import Iterator

import pytest

from destseg.ahead import ahead


def counted(asked: list[int], upto: int = 1000) -> Iterator[int]:
    for number in range(upto):
        asked.append(number)
        yield number


def test_all_items_come_in_order() -> None:
    assert list(ahead(iter(range(50)))) == list(range(50))
    assert list(ahead(iter(()))) == []
    assert list(ahead(iter([None, 0]))) == [None, 0]


def test_no_more_than_the_next_one_is_made() -> None:
    asked: list[int] = []
    items = ahead(counted(asked))
    assert asked == []
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert asked in ([0, 1], [0, 1, 2])


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("gone")

    found = ahead(items())
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_no_thread_is_left_when_it_is_ended_early() -> None:
    before = threading.active_count()
    items = ahead(counted([]))
    next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before
