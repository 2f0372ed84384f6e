"""A PostgreSQL of the tests' own: Debian's, in a folder of its own, never as root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destseg.local.servers import HOST

_DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def programs() -> Path | None:
    """The folder of initdb and pg_ctl, the newest that Debian has here."""
    found = shutil.which("pg_ctl")
    return _DEBIAN[-1] if _DEBIAN else Path(found).resolve().parent if found else None


@contextmanager
def postgres(folder: Path, port: int) -> Iterator[str]:
    """A running server with its files in `folder`, as the address of a new database `prefect` for Prefect."""
    bin = programs()
    assert bin is not None
    folder.mkdir(parents=True)
    as_user: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        shutil.chown(folder, "postgres")
        for parent in folder.parents:  # pytest's folders are closed to others
            if parent.stat().st_uid == 0 and parent != Path("/tmp") and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o011)
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"

    def call(program: str, *arguments: str) -> None:
        command = [*as_user, str(bin / program), *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    call("initdb", "-D", str(data), "-A", "trust", "-U", "destseg", "--no-sync")
    options = f"-p {port} -h {HOST} -k {folder} -c fsync=off"
    call("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        call("createdb", "-h", HOST, "-p", str(port), "-U", "destseg", "prefect")
        yield f"postgresql+asyncpg://destseg@{HOST}:{port}/prefect"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
