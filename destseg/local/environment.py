"""The environment of what runs for a local folder: its own S3, MLflow, Prefect and caches, and nobody else's."""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from destseg.files import replacing
from destseg.local.children import mark
from destseg.storage.process import QUIET

BUCKET = "destseg"
FOLDER = Path(".demo")
# A user's own profile, server or index must neither be used by the demo nor be changed by it.
_FOREIGN = ("AWS_", "DVC_", "GIT_", "MLFLOW_", "PREFECT_", "RCLONE_")


def local_environment(folder: Path) -> dict[str, str]:
    """The variables of a process that works for `folder`; the servers add their addresses when they start."""
    folder = folder.resolve()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    nothing = folder / "aws"  # an empty file: DVC takes no device for one
    nothing.touch()
    loopback = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1,localhost"]))
    return (
        kept
        | QUIET
        | mark(folder)
        | _credentials(folder)
        | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": loopback,
            "no_proxy": loopback,
            "AWS_CONFIG_FILE": str(nothing),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(nothing),
            "DESTSEG_ARTIFACTS": f"s3://{BUCKET}/mlflow",
            "DESTSEG_BRANCH": "main",
            "DESTSEG_BUCKET": BUCKET,
            "DESTSEG_CACHE": str(folder / "cache"),
            "DESTSEG_ORIGIN": str(folder / "origin.git"),
            "DESTSEG_WORKSPACES": str(folder / "workspaces"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "PREFECT_HOME": str(folder / "prefect"),
        }
    )


@contextmanager
def applied(env: Mapping[str, str]) -> Iterator[None]:
    """Makes `env` the environment of this process, for the library calls that it makes itself."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(env)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _credentials(folder: Path) -> dict[str, str]:
    """The key pair of the folder's S3 server and the login of its Prefect server, made up once, for its user alone."""
    path = folder / "credentials.json"
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    made = {
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10).upper(),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "PREFECT_API_AUTH_STRING": f"destseg:{secrets.token_hex(20)}",
    }
    if not made.keys() <= found.keys():  # a folder from before Prefect had a login keeps its keys
        found = made | found
        with replacing(path) as fresh:
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(found), encoding="utf-8")
    return found
