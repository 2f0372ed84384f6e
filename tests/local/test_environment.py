"""What runs for a local folder knows its servers only, and nothing of the user's own."""

import os
import stat
from pathlib import Path

import pytest

from destseg.local.environment import applied, local_environment


def test_the_users_accounts_and_servers_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "GIT_DIR"):
        monkeypatch.setenv(name, "of the user")
    assert "of the user" not in local_environment(tmp_path).values()


def test_a_proxy_is_kept_but_never_used_for_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intranet")
    found = local_environment(tmp_path)
    assert found["HTTP_PROXY"] == "http://proxy:3128"
    assert found["NO_PROXY"] == found["no_proxy"] == "intranet,127.0.0.1,localhost"


def test_the_keys_are_made_up_once_for_their_owner_alone(tmp_path: Path) -> None:
    first, again = local_environment(tmp_path), local_environment(tmp_path)
    assert first == again
    assert first["AWS_SECRET_ACCESS_KEY"] != local_environment_of(tmp_path / "another")["AWS_SECRET_ACCESS_KEY"]
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600


def test_keys_from_before_prefect_had_a_login_stay_and_gain_one(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text('{"AWS_ACCESS_KEY_ID": "OLD", "AWS_SECRET_ACCESS_KEY": "older"}')
    found = local_environment(tmp_path)
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("OLD", "older")
    assert found["PREFECT_API_AUTH_STRING"].startswith("destseg:")
    assert local_environment(tmp_path) == found
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def local_environment_of(folder: Path) -> dict[str, str]:
    folder.mkdir()
    return local_environment(folder)


def test_an_applied_environment_is_taken_back() -> None:
    before = dict(os.environ)
    with applied({"ONLY": "this"}):
        assert dict(os.environ) == {"ONLY": "this"}
    assert dict(os.environ) == before
