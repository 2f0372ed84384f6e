"""`destseg up`: S3, MLflow, Prefect, its workers and the review page, each started again when it ends, until Ctrl-C."""

import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from destseg import Error
from destseg.files import replacing
from destseg.local import prefect_api
from destseg.local.children import MARK
from destseg.local.environment import BUCKET, FOLDER
from destseg.local.interrupt import interruptible
from destseg.local.lock import alone
from destseg.local.repository import Repository
from destseg.local.servers import Servers
from destseg.local.status import StatusPage
from destseg.storage.process import run

log = logging.getLogger(__name__)
# Work pools and how many flow runs each takes at once: one training fills a GPU.
POOLS = {"cpu": 4, "gpu": 1}
VARIABLES = "environment"
FOLLOW_SECONDS = 20.0  # how often the review page's project is brought to what was pushed


def up(root: Path = Path(), *, folder: Path = FOLDER, until: Callable[[Servers], bool] = lambda _: False) -> None:
    """Starts everything on <root>/<folder>, which is made when it is not there, and looks after it till `until`."""
    if not (root / "prefect.yaml").is_file():
        raise Error(f"{root.resolve()} has no prefect.yaml; run `destseg up` in the root of the project's repository")
    root, folder = root.resolve(), (root / folder).resolve()
    with alone(folder), interruptible(), Servers(folder) as servers:
        try:
            with StatusPage(servers, folder / VARIABLES) as page:
                log.info("Status   %s  (starting the servers, then deploying the flows)", page.address)
                fresh = start(root, servers)
                say(servers, page, fresh)
                followed = time.monotonic()
                while not until(servers):
                    servers.tend()
                    if time.monotonic() - followed > FOLLOW_SECONDS:
                        follow(servers)
                        followed = time.monotonic()
                    time.sleep(1.0)
        except KeyboardInterrupt:
            log.info("ending the servers")


def start(root: Path, servers: Servers) -> bool:
    """Starts the servers, deploys the flows of prefect.yaml, starts the workers; whether the origin was made now."""
    servers.s3()
    servers.prefect()
    fresh = publish(root, servers)
    servers.registry(root)
    servers.mlflow()
    for name in ("s3", "prefect", "mlflow"):
        servers.ready(name)
    servers.review(Repository(servers.folder, servers.env).checkout)
    if crashed := prefect_api.crash_unfinished(servers.env):
        log.warning(
            "left by the last `destseg up` and now Crashed; ingest and retrain are started again: %s",
            ", ".join(crashed),
        )
    for pool in POOLS:
        if not prefect_api.has_pool(servers.env, pool):
            prefect(root, servers, "work-pool", "create", pool, "--type", "process")
    prefect(root, servers, "deploy", "--all")
    for pool, limit in POOLS.items():
        servers.worker(pool, root, limit=limit)
    servers.ready("review")
    write_variables(servers.folder / VARIABLES, servers.env)
    return fresh


def publish(root: Path, servers: Servers) -> bool:
    """Makes an origin that holds the project as it is in `root`, unless there is one; whether it was made.

    Its checkout is the review page's, which needs the settings that were pushed; people work in clones of their own.
    """
    repository = Repository(servers.folder, servers.env)
    repository.unlock()
    if repository.published():
        repository.clone()
        return False
    repository.prepare()
    repository.take_snapshot(root)
    repository.publish("The project, as it is here")
    return True


def follow(servers: Servers) -> None:
    """Brings the review page's project to what was pushed; the next time where that fails now."""
    try:
        Repository(servers.folder, servers.env).update()
    except Error as error:
        log.warning("the review page does not see what was pushed last: %s", error)


def prefect(root: Path, servers: Servers, *arguments: str) -> None:
    """`prefect ARGUMENTS`, which asks nothing."""
    run([sys.executable, "-m", "prefect", "--no-prompt", *arguments], cwd=root, env=servers.env)


def say(servers: Servers, page: StatusPage, fresh: bool) -> None:
    """Where everything is, and how to go on."""
    variables = servers.folder / VARIABLES
    log.info("Status   %s", page.address)
    log.info("Review   %s", page.content()["addresses"]["review"])
    log.info("MLflow   %s", servers.env["MLFLOW_TRACKING_URI"])
    log.info("Prefect  %s", servers.env["PREFECT_API_URL"].removesuffix("/api"))
    log.info("         its page asks for PREFECT_API_AUTH_STRING, which is in %s", servers.folder / "credentials.json")
    log.info("S3       %s", servers.env["AWS_ENDPOINT_URL"])
    log.info("To work with them in another terminal: source %s", shlex.quote(str(variables)))
    if fresh:
        log.info("It is new: %s holds the project as it is here. To go on, there:", servers.env["DESTSEG_ORIGIN"])
        for line in FIRST_STEPS:
            log.info("  %s", line)
    log.info("Ctrl-C ends all of it.")


FIRST_STEPS = (
    'git clone "$DESTSEG_ORIGIN" line && cd line',
    "destseg dataset add NAME --from FOLDER        # MVTec's layout, see data/README.md",
    'git add params.yaml data/mvtec && git commit -m "Dataset NAME" && dvc push && git push',
    f"rclone copy PHOTOGRAPHS s3:{BUCKET}/inbox/NAME/   # each batch of new ones; the rest goes by itself",
)


def write_variables(path: Path, env: Mapping[str, str]) -> Path:
    """The variables of `env` that this process has not, for a shell's `source`; they hold the secrets: mode 600."""
    remote = {
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Rclone",
        "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": env["AWS_ENDPOINT_URL"],
    }
    lines = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in sorted((dict(env) | remote).items())
        # A person's git stays their own: commits need its name and address.
        if name != MARK and not name.startswith("GIT_") and os.environ.get(name) != value
    ]
    with replacing(path) as fresh:
        fresh.touch(mode=0o600)
        fresh.write_text("".join(lines), encoding="utf-8")
    return path
