from pathlib import Path

import pytest

from destseg import Error
from destseg.registry import connection


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DESTSEG_ARTIFACTS", raising=False)


@pytest.mark.usefixtures("_bare")
def test_the_default_store_lies_in_the_working_directory(tmp_path: Path) -> None:
    assert connection.tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert connection.artifact_location("e") == f"{tmp_path}/mlartifacts/e"


@pytest.mark.usefixtures("_bare")
def test_artifacts_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DESTSEG_ARTIFACTS", "s3://bucket/mlflow/")
    assert connection.artifact_location("e") == "s3://bucket/mlflow/e"
    monkeypatch.setenv("DESTSEG_ARTIFACTS", "files")
    assert connection.artifact_location("e") == f"{tmp_path}/files/e"


@pytest.mark.usefixtures("_bare")
def test_a_server_chooses_its_own_place_and_a_database_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert connection.artifact_location("e") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://db/mlflow")
    with pytest.raises(Error, match="DESTSEG_ARTIFACTS is not set"):
        connection.artifact_location("e")


@pytest.mark.parametrize("name", ["../x", "Washer", "a'b"])
def test_a_name_that_is_no_category_is_refused(name: str) -> None:
    with pytest.raises(Error, match="category"):
        connection.candidates(name)
