"""A flow run works in a clone of its own, which is gone when the run is."""

import subprocess
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import versions
from flows.workspace import workspace


@pytest.fixture
def workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the workspaces of an origin that holds one commit with a file `hello`."""
    seed = tmp_path / "seed"
    (seed / ".dvc").mkdir(parents=True)
    (seed / "hello").write_text("of the origin")
    (seed / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*identity, "commit", "-q", "-m", "A file"]):
        subprocess.run(["git", *command], cwd=seed, check=True)
    monkeypatch.setenv("DESTSEG_ORIGIN", str(seed))
    monkeypatch.setenv("DESTSEG_WORKSPACES", str(tmp_path / "workspaces"))
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "workspaces"


def test_a_workspace_is_a_clean_clone_on_the_shared_cache(workspaces: Path, tmp_path: Path) -> None:
    with workspace("retrain-washer") as root:
        assert root.parent == workspaces
        assert root.name.startswith("retrain-washer-")
        assert (root / "hello").read_text() == "of the origin"
        assert versions.branch(root) == "main"
        assert versions.is_clean(root)
        assert f"dir = {tmp_path / 'cache' / 'dvc'}" in (root / ".dvc" / "config.local").read_text()
    assert list(workspaces.iterdir()) == []


def test_a_workspace_is_gone_after_a_failure(workspaces: Path) -> None:
    with pytest.raises(ZeroDivisionError), workspace("retrain-washer"):
        raise ZeroDivisionError
    assert list(workspaces.iterdir()) == []


def test_the_workspace_of_a_dead_run_is_removed_and_that_of_a_living_one_stays(workspaces: Path) -> None:
    dead = workspaces / "retrain-fabric-0123abcd"
    dead.mkdir(parents=True)
    (dead / "weights").write_text("half of them")
    dead.with_name(f"{dead.name}.lock").touch()
    with workspace("retrain-washer") as living, workspace("ingest-washer") as another:
        assert not dead.exists()
        assert living.is_dir()
        assert another.is_dir()
    assert list(workspaces.iterdir()) == []


def test_an_unknown_branch_fails_at_once_and_leaves_nothing(workspaces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTSEG_BRANCH", "nonexistent")
    with pytest.raises(Error, match="nonexistent"), workspace("retrain-washer"):
        pass
    assert list(workspaces.iterdir()) == []


def test_no_origin_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESTSEG_ORIGIN", raising=False)
    with pytest.raises(Error, match="DESTSEG_ORIGIN is not set"), workspace("retrain-washer"):
        pass
