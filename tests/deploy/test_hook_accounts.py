"""The `update` hook learns the account from git's transport: over ssh and over HTTP, as docs/deploy.md sets them up."""

import base64
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .guarded import Clone, pointer

# What sshd does with the two lines of authorized_keys in docs/deploy.md.
SSH = """#!/bin/sh
shift
SSH_ORIGINAL_COMMAND="$*" exec /bin/sh -c '{command}'
"""
INGEST = 'DESTSEG_GIT_ACCOUNT=ingest git-shell -c "$SSH_ORIGINAL_COMMAND"'
READER = "git-upload-pack {path}"


def ssh(folder: Path, command: str) -> dict[str, str]:
    """The environment of a git whose key has this forced command."""
    program = folder / "ssh"
    program.write_text(SSH.format(command=command))
    program.chmod(0o755)
    return {"GIT_SSH": str(program), "GIT_SSH_VARIANT": "simple"}


def test_the_account_comes_from_ssh(clone: Clone, tmp_path: Path) -> None:
    env = ssh(tmp_path, INGEST)
    clone.url = f"git@server:{clone.url}"
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push(account="engineer", **env)  # the forced command overrides what the client says
    clone.commit({"destseg.py": "evil\n"})
    assert "ingest may change" in clone.refused(account="engineer", **env)


def test_a_reading_key_fetches_and_cannot_push(clone: Clone, tmp_path: Path) -> None:
    env = ssh(tmp_path, READER.format(path=clone.url))
    url = f"git@server:{clone.url}"
    clone.git("fetch", "--quiet", url, "main", **env)
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    before = clone.git("ls-remote", clone.url)
    with pytest.raises(subprocess.CalledProcessError):
        clone.git("push", "--quiet", url, "HEAD:refs/heads/main", account="engineer", **env)
    assert clone.git("ls-remote", clone.url) == before


class Web(http.server.BaseHTTPRequestHandler):
    """A web server that has authenticated its users, in front of git's own http-backend."""

    def do_GET(self) -> None:
        user = base64.b64decode(self.headers.get("Authorization", "Basic ")[6:]).decode().partition(":")[0]
        if not user:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": "/",
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_USER": user,
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done = subprocess.run(["git", "http-backend"], env=env, input=body, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """Its address, for the user `ingest`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ingest:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_account_comes_from_the_web_server(clone: Clone, web: str) -> None:
    clone.url = f"{web}{clone.url}"
    clone.commit({"data/mvtec/washer.dvc": pointer()})
    clone.push(account=None)
    clone.commit({"destseg.py": "evil\n"})
    assert "ingest may change" in clone.refused(account=None)
