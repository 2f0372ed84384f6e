"""A PostgreSQL of the tests' own: Debian's, in a folder of their own, never as root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from destseg.local import loopback

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
        options = f"-p {port} -h {loopback.HOST} -k {folder} -c fsync=off"
        log = Path(folder) / "log"
        call("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            call("createdb", "-h", loopback.HOST, "-p", str(port), "-U", "destseg", "prefect")
            yield Postgres(f"postgresql+asyncpg://destseg@{loopback.HOST}:{port}/prefect", data)
        finally:
            call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
