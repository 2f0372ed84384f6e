"""Ctrl-C, SIGTERM and a closed terminal end a run alike, and only once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """The first of these signals is a KeyboardInterrupt; the next ones would interrupt the ending, and are ignored."""
    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread set handlers
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a handler's signature
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in _SIGNALS}
    try:
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:  # under nohup a closed terminal is meant to end nothing
                signal.signal(each, interrupt)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
