"""The page that says how everything of `destseg up` is: on loopback, read only, with nothing secret on it."""

import base64
import datetime
import hashlib
import json
import re
import shlex
import threading
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jinja2 import Environment, PackageLoader

from destseg.local import loopback
from destseg.local.servers import Servers

_TEMPLATES = Environment(loader=PackageLoader("destseg.local", ""), autoescape=True, trim_blocks=True)
_TEMPLATES.filters["clock"] = lambda time: datetime.datetime.fromisoformat(time).strftime("%Y-%m-%d %H:%M:%S")
_STYLE = str(_TEMPLATES.get_template("status.css").render())
_HEADERS = {
    # By its hash the one style of the page is allowed, and nothing else: no script, no picture, no form, no frame.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"img-src data:; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A name of a stranger that leads to 127.0.0.1 would let the stranger's page read this one.
_OUR_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_WORDS = {"starting": "starting", "up": "up", "silent": "does not answer", "waiting": "has ended, starts again soon"}


class StatusPage:
    """As a context, serves the page of `servers` from a thread; `variables` is the file to source."""

    def __init__(self, servers: Servers, variables: Path) -> None:
        self.address = loopback.address(servers.folder, "status")
        self._servers, self._variables = servers, variables
        port = int(self.address.rpartition(":")[2])
        self._server = ThreadingHTTPServer((loopback.HOST, port), partial(_Handler, self.content))
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def content(self) -> dict[str, Any]:
        """What /status.json holds."""
        folder = self._servers.folder
        running = dict(self._servers.running)  # the main thread adds to it
        return {
            "at": _time(time.time()),
            "folder": str(folder),
            "logs": str(folder / "logs"),
            "environment": str(self._variables),
            "prefect_login": str(folder / "credentials.json"),
            "addresses": {
                name: child.health.removesuffix("/health").removesuffix("/api")
                for name, child in running.items()
                if child.health is not None
            },
            "servers": [
                {
                    "name": name,
                    "state": child.state,
                    "since": _time(child.since),
                    "restarts": child.restarts,
                    "last_exit": child.last_exit,
                    "log": child.log.name,
                }
                for name, child in running.items()
            ],
        }


class _Handler(BaseHTTPRequestHandler):
    """GET / and GET /status.json for who calls us by a loopback name."""

    server_version, sys_version = "destseg", ""
    timeout = 10  # seconds that a connection may be silent

    def __init__(self, content: Callable[[], dict[str, Any]], *arguments: Any) -> None:
        self.content = content
        super().__init__(*arguments)  # which answers the request

    def do_GET(self) -> None:
        if not _OUR_NAMES.fullmatch(self.headers.get("Host", "")):
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "Call this page 127.0.0.1 or localhost.")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", render(self.content()))
        elif self.path == "/status.json":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.content()))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "There are / and /status.json.")

    def refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", "This page can only be read.")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = refuse

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A look at the page is no news."""


def render(content: dict[str, Any]) -> str:
    """The page as HTML that refers to no other file."""
    well = all(server["state"] == "up" for server in content["servers"])
    source = f"source {shlex.quote(content['environment'])}"
    template = _TEMPLATES.get_template("status.html")
    return template.render(content, style=_STYLE, words=_WORDS, well=well, source=source)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
