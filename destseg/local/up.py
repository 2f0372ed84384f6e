"""`destseg up`: the servers of the demo, with its results, for the browser and for further batches, until Ctrl-C."""

import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from destseg import Error
from destseg.files import replacing
from destseg.local.children import MARK
from destseg.local.demo import FOLDER
from destseg.local.lock import alone
from destseg.local.servers import Servers
from destseg.storage.process import run

log = logging.getLogger(__name__)
POOL = "gpu"


def up(root: Path = Path(), *, folder: Path = FOLDER, until: Callable[[Servers], bool] = lambda _: False) -> None:
    """Starts S3, MLflow, Prefect with the deployments of prefect.yaml and a worker on <root>/<folder>, till `until`."""
    folder = (root / folder).resolve()
    if not (folder / "origin.git").is_dir():
        raise Error(f"{folder} holds no results of a demo; run `destseg demo` first, then `destseg up` shows them")
    with alone(folder), Servers(folder) as servers:
        log.info("starting S3, MLflow and Prefect, then deploying the flows")
        s3, prefect, mlflow = servers.s3(), servers.prefect(), servers.mlflow()
        for name in ("s3", "prefect", "mlflow"):
            servers.ready(name)
        for command in (["work-pool", "create", POOL, "--type", "process", "--overwrite"], ["deploy", "--all"]):
            run([sys.executable, "-m", "prefect", "--no-prompt", *command], cwd=root.resolve(), env=servers.env)
        servers.worker(POOL, root.resolve())
        variables = write_variables(folder / "environment", servers.env)
        log.info("MLflow   %s", mlflow)
        log.info("Prefect  %s", prefect)
        log.info("S3       %s", s3)
        log.info("To work with them in another terminal: source %s", variables)
        log.info("Ctrl-C ends all of it.")
        try:
            while not until(servers):
                servers.check()
                time.sleep(1.0)
        except KeyboardInterrupt:
            log.info("ending the servers")


def write_variables(path: Path, env: Mapping[str, str]) -> Path:
    """The variables of `env` that this process has not, for a shell's `source`; they hold the S3 keys: mode 600."""
    lines = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in sorted(env.items())
        if name != MARK and os.environ.get(name) != value
    ]
    with replacing(path) as fresh:
        fresh.touch(mode=0o600)
        fresh.write_text("".join(lines), encoding="utf-8")
    return path
