"""A proxy in front of an S3 server that does to requests what networks and servers do on a bad day."""

import contextlib
import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Does = Literal[
    "answers", "stalls", "resets", "cuts the answer", "ends the answer early", "cuts the request", "loses it"
]
_NOT_FORWARDED = {"expect", "connection", "transfer-encoding"}


@dataclass
class Fault:
    """What happens to the requests that match METHOD and PATH?QUERY, the first `times` of each path (None: to all)."""

    does: Does
    to: str = ".*"
    """A regular expression for "METHOD /path?query"."""
    times: int | None = None
    code: str = ""
    """The S3 error code of `answers`, with `status`."""
    status: int = 500
    page: str = ""
    """What it answers instead of an S3 error."""
    done: dict[str, int] = field(default_factory=dict)
    """How often it has happened, by request."""

    def takes(self, request: str) -> bool:
        """Whether it happens to this request, which is counted then."""
        if not re.search(self.to, request) or self.done.get(request, 0) == self.times:
            return False
        self.done[request] = self.done.get(request, 0) + 1
        return True

    @property
    def count(self) -> int:
        """How often it has happened."""
        return sum(self.done.values())


class Proxy(ThreadingHTTPServer):
    """Forwards to `upstream` (host:port) untouched, the Host header too, which the signature covers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.released = threading.Event()

    @property
    def address(self) -> str:
        """What AWS_ENDPOINT_URL is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fault_for(self, request: str) -> Fault | None:
        with self.lock:
            return next((fault for fault in self.faults if fault.takes(request)), None)

    @contextlib.contextmanager
    def suffers(self, *faults: Fault) -> Iterator[None]:
        """These faults while the context lives; the first that matches a request is the one that happens to it."""
        with self.lock:
            self.faults = list(faults)
        try:
            yield
        finally:
            with self.lock:
                self.faults = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what the tests are about."""


@contextlib.contextmanager
def proxied(server: str) -> Iterator[Proxy]:
    """A running proxy in front of `server` (http://host:port)."""
    with Proxy(server.removeprefix("http://")) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.released.set()
            proxy.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _serve(self) -> None:
        fault = self.server.fault_for(f"{self.command} {self.path}")
        does = fault.does if fault else None
        length = int(self.headers.get("Content-Length") or 0)
        if does == "resets":
            return self._reset()
        if does == "cuts the request":
            self._send(self.rfile.read(length // 2))  # the server sees as much, and the end of the connection
            return self._reset()
        body = self.rfile.read(length)
        if does == "stalls":
            self.server.released.wait(60)
            return self._reset()
        if fault and does == "answers":
            return self._answer(fault)
        upstream = self._send(body)
        with contextlib.closing(upstream):
            answer = upstream.getresponse()
            content = answer.read()
        if does == "loses it":  # what was asked for is done; nobody is told
            return self._reset()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {*_NOT_FORWARDED, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(content)))
        self.end_headers()
        if does in ("cuts the answer", "ends the answer early"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if does == "cuts the answer":
                return self._reset()
            self.close_connection = True
            return None
        self.wfile.write(content)
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _send(self, body: bytes) -> http.client.HTTPConnection:
        """The request, sent to the server with as much of its body as there is."""
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _NOT_FORWARDED:
                upstream.putheader(name, value)
        upstream.endheaders(body or None)
        return upstream

    def _answer(self, fault: Fault) -> None:
        error = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>By the proxy.</Message></Error>"
        content = (fault.page or error).encode()
        self.send_response_only(fault.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    def _reset(self) -> None:
        """End the connection as a router does that forgets it: no end of stream, a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
