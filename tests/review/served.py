"""The page in a thread of this process, before a registry that nobody answers for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from destseg.local import loopback
from destseg.review.acts import Acts
from destseg.review.app import create_app
from destseg.review.artifacts import Artifacts
from destseg.review.desk import Desk

from ..integration.server import until

NOBODY = "http://127.0.0.1:9"  # the port of `discard`, where nothing listens


def lonely_desk(folder: Path, *, accounts: bool) -> Desk:
    """A desk whose registry was there when the page began, and is not any more."""
    return Desk(
        registry=NOBODY,
        accounts=accounts,
        address=loopback.address(folder, "review"),
        root=folder,
        acts=Acts(folder),
        artifacts=Artifacts(folder / "cache"),
    )


@contextmanager
def served(desk: Desk) -> Iterator[FastAPI]:
    """The page of this desk at its address."""
    app = create_app(desk)
    port = int(desk.address.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config(app, host=loopback.HOST, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        yield app
    finally:
        server.should_exit = True
        thread.join(60)
