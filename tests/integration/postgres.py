"""A PostgreSQL of the tests' own: Debian's, in a folder of their own, never as root."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from destseg.local import children, loopback

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest that Debian has here."""
    found = shutil.which("pg_ctl")
    return _DEBIAN[-1] if _DEBIAN else Path(found).resolve().parent if found else None


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    address: str
    """Of its database `prefect`, as Prefect takes it."""
    data: Path


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A new server with an empty database, gone at the end with all that it holds."""
    bin = programs()
    assert bin is not None
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    # Not below pytest's folders, which are closed to other users.
    with tempfile.TemporaryDirectory(prefix="destseg-postgres-") as folder:
        if as_user:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
        port = int(loopback.address(Path(folder), "postgres").rpartition(":")[2])
        data = Path(folder) / "data"

        def call(program: str, *arguments: str) -> None:
            command = [*as_user, str(bin / program), *arguments]
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout

        call("initdb", "-D", str(data), "-A", "trust", "-U", "destseg", "--no-sync")
        client = ["-h", loopback.HOST, "-p", str(port)]
        server = [*as_user, str(bin / "postgres"), "-D", str(data), "-k", folder, *client, "-c", "fsync=off"]
        with (Path(folder) / "log").open("w") as output:  # under the guard: it ends with whoever started it
            process = children.start(server, cwd=Path(folder), env=os.environ, output=output)
        try:
            end = time.monotonic() + 60
            while subprocess.run([str(bin / "pg_isready"), "-q", *client]).returncode:
                assert time.monotonic() < end, (Path(folder) / "log").read_text()
                time.sleep(0.1)
            call("createdb", *client, "-U", "destseg", "prefect")
            yield Postgres(f"postgresql+asyncpg://destseg@{loopback.HOST}:{port}/prefect", data)
        finally:
            children.end_group(process)
