"""Something done while MLflow is imported, which takes a second or two."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T]) -> "Future[T]":
    """What `work` will return, or raise; who does not ask for it does not wait for it, nor does the process's end."""
    found = Future[T]()

    def do() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # for whoever asks
            found.set_exception(error)

    Thread(target=do, daemon=True).start()
    return found
