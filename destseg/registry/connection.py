"""The MLflow store this process talks to: its address, its experiments, and its errors as sentences."""

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.storage.process import QUIET
from destseg.text import typed, without_login

if TYPE_CHECKING:  # `import mlflow` takes seconds; a command that reads a local file must not pay for it
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

SQLITE = "sqlite:///"
PREFIX = "destseg-"  # of every registered model of this project
# Never a pickle (DESIGN, decision 4), and no lines on the terminal but ours.
SWITCHES = {
    **QUIET,
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_PRINT_MODEL_URLS_ON_CREATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # of 2, 4, 8 s: a server that is down is said so in time
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def candidates(category: str) -> str:
    """The registered model that training writes to."""
    return f"{released(category)}-candidates"


def released(category: str) -> str:
    """The registered model that the line loads."""
    return f"{PREFIX}{check_category(category)}"


def log_model(category: str) -> str:
    """The registered model whose versions are the entries of the category's log."""
    return f"{released(category)}-log"


def released_experiment(category: str) -> str:
    """The experiment of the runs behind released versions; the runs of training are in one named as the model."""
    return f"{released(category)}-released"


def account(who: str | None = None) -> str:
    """`who`, else the name that this process signs in with, else this machine's user."""
    if who:
        return typed(who, "--who")
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        raise Error("this user has no name here; say who decides with --who") from None


def shown() -> str:
    """The registry's address for messages: a database's has a password in it."""
    return without_login(tracking_uri())


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file mlflow.db of the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{Path.cwd() / 'mlflow.db'}"


def connect() -> "MlflowClient":
    """A client of the store at `tracking_uri`; MLflow's own functions use the same one afterwards."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    import mlflow

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # warns that MLflow uploads with many threads
    uri = tracking_uri()
    if uri.startswith(SQLITE):
        Path(uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, created with its own place for artifacts where it does not exist yet."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=artifact_location(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process may have created it meanwhile
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise Error(f"experiment {name} is deleted in {shown()}; restore it with `mlflow experiments restore`")
    return str(found.experiment_id)


def artifact_location(name: str) -> str | None:
    """Where an experiment's files go: the server's choice, else $DESTSEG_ARTIFACTS, else beside the SQLite file."""
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        return None
    if root := os.environ.get("DESTSEG_ARTIFACTS"):
        return f"{root.rstrip('/')}/{name}" if "://" in root else str(Path(root).absolute() / name)
    if uri.startswith(SQLITE) and uri != SQLITE:
        return str(Path(uri.removeprefix(SQLITE)).absolute().parent / "mlartifacts" / name)
    raise Error(
        f"DESTSEG_ARTIFACTS is not set; with MLFLOW_TRACKING_URI={uri} it must name a place, such as s3://b/mlflow"
    )


def ensure_model(client: "MlflowClient", name: str, category: str) -> bool:
    """Creates the registered model `name` where it does not exist yet; whether it did."""
    from mlflow.exceptions import MlflowException

    if client.search_registered_models(f"name='{name}'"):
        return False
    try:
        client.create_registered_model(name, tags={"category": category})
    except MlflowException:
        if not client.search_registered_models(f"name='{name}'"):  # else another process was faster
            raise
        return False
    return True


@contextmanager
def explained(what: str, *, rights: str = "") -> Iterator[None]:
    """Turns MLflow's refusals (unreachable, forbidden, not there) into an Error that says what was being done.

    `rights` is what an administrator grants to whoever is forbidden to do it.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if rights and forbidden(error):
            raise Error(
                f"{what} is not allowed to {account()}; an administrator of the registry at {shown()} has to "
                f"grant {rights}"
            ) from error
        said = " ".join(str(error).split())[:300]
        raise Error(f"{what} did not succeed; the registry at {shown()} says: {said}") from error


def forbidden(error: "MlflowException") -> bool:
    """Whether the registry refused it to this account."""
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, ErrorCode

    return bool(error.error_code == ErrorCode.Name(PERMISSION_DENIED))
