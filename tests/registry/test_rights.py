"""Who may promote, on a real MLflow server with accounts."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.registry.connection import candidates, connect, log_model, released
from destseg.registry.evidence import Lineage
from destseg.registry.history import history
from destseg.registry.policy import promote_by_policy
from destseg.registry.promotion import promote
from destseg.registry.register import submit
from destseg.storage.process import QUIET

PASSWORD = "only-for-this-test"
INI = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/accounts.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 3600
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of the server, which the environment names; the process is signed in as its administrator."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "auth.ini").write_text(INI.format(folder=folder, password=PASSWORD))
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-this-test-too",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=os.environ | QUIET | own, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, folder / "log")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
            _sign_in(monkeypatch, "admin")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def _wait(health: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(health, timeout=2).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"no server at {health}: {log.read_text()}")


def _sign_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)


def test_a_trainer_without_the_right_is_told_what_to_ask_for_and_with_it_may_promote(
    server: str,
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    compared: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    def train(key: str) -> Path:
        root = results(weights=key.encode())
        submit("washer", lineage(root, key), root=root)
        compared("washer")
        params = root / "params.yaml"
        params.write_text(params.read_text().replace("min_image_auroc", "policy: auto, min_image_auroc"))
        return root

    promote("washer", why="first model", root=train("a"))
    accounts = AuthServiceClient(server)
    client = connect()
    experiments = {
        name: str(client.get_experiment_by_name(name).experiment_id)
        for name in (released("washer"), f"{released('washer')}-released")
    }
    accounts.create_user("trainer", PASSWORD)
    accounts.grant_user_permission("trainer", "registered_model", candidates("washer"), "EDIT")
    accounts.grant_user_permission("trainer", "registered_model", log_model("washer"), "EDIT")
    accounts.grant_user_permission("trainer", "experiment", experiments["destseg-washer"], "EDIT")

    _sign_in(monkeypatch, "trainer")
    root = train("b")
    with pytest.raises(
        Error,
        match=r"promoting washer is not allowed to trainer; an administrator of the registry at .* has to grant EDIT "
        "on the registered models destseg-washer and destseg-washer-log and on the experiment destseg-washer-released",
    ):
        promote_by_policy("washer", root)
    assert [entry.version for entry in history("washer")] == [1]

    _sign_in(monkeypatch, "admin")
    accounts.grant_user_permission("trainer", "experiment", experiments["destseg-washer-released"], "EDIT")
    accounts.grant_user_permission("trainer", "registered_model", released("washer"), "EDIT")
    _sign_in(monkeypatch, "trainer")
    assert promote_by_policy("washer", root).promoted
    assert [entry.who for entry in history("washer")] == ["admin", "trainer"]
