"""The folder of a trial: whose it is, and what of an earlier run still counts."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from destseg import Error
from destseg.trial.photographs import Photographs
from destseg.trial.project import Project, working_in

from .conftest import normals

TEXT = "seed: 0\n"


def photographs(folder: Path) -> Photographs:
    return Photographs(files={f"train/good/{path.name}": path for path in sorted(folder.glob("*.png"))})


def begun(folder: Path, source: Path, *, category: str = "bolt", text: str = TEXT, step: str = "") -> list[str] | None:
    """What a run finds to be another than before; it then does `step`."""
    project = Project(folder)
    with project.held():
        changes = project.begin(category, photographs(source), text)
        if step:
            project.finish(step)
    return changes


def done(folder: Path) -> list[str]:
    return json.loads((folder / "try.json").read_text())["done"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return normals(tmp_path / "bolts")


@pytest.fixture
def trial(tmp_path: Path, source: Path) -> Path:
    """A trial that has done its checks."""
    folder = tmp_path / "trial"
    assert begun(folder, source, step="checks") is None
    (folder / "build/bolt").mkdir(parents=True)
    (folder / "build/bolt/accepted.json").touch()
    return folder


def test_the_first_run_copies_the_photographs_and_writes_the_settings(trial: Path, source: Path) -> None:
    copied = {path.name: path.read_bytes() for path in (trial / "data/mvtec/bolt/train/good").iterdir()}
    assert copied == {path.name: path.read_bytes() for path in source.iterdir()}
    assert (trial / "params.yaml").read_text() == TEXT
    assert done(trial) == ["photographs", "checks"]


def test_the_same_again_keeps_what_is_done(trial: Path, source: Path) -> None:
    assert begun(trial, source) == []
    assert done(trial) == ["photographs", "checks"]
    assert (trial / "build/bolt/accepted.json").exists()


def test_other_photographs_start_over_and_say_how_many(trial: Path, source: Path) -> None:
    (source / "000.png").unlink()
    (source / "001.png").rename(source / "new.png")
    assert begun(trial, source) == ["of the photographs, 1 are new and 2 are gone"]
    assert done(trial) == ["photographs"]
    assert not (trial / "build").exists()
    assert not (trial / "data/mvtec/bolt/train/good/000.png").exists()


def test_another_name_or_preset_starts_over(trial: Path, source: Path) -> None:
    changes = begun(trial, source, category="nut", text="seed: 1\n")
    assert changes == ["the name was bolt", "the settings are others"]
    assert not (trial / "data/mvtec/bolt").exists()


def test_settings_that_a_person_has_changed_are_kept_and_start_over(trial: Path, source: Path) -> None:
    (trial / "params.yaml").write_text("seed: 7\n")
    assert begun(trial, source, step="checks") == ["the settings are others"]
    assert (trial / "params.yaml").read_text() == "seed: 7\n"
    assert begun(trial, source, text="seed: 2  # of a newer preset\n") == []
    assert done(trial) == ["photographs", "checks"]


def test_a_folder_that_is_not_a_trials_is_refused_and_left_alone(tmp_path: Path, source: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/thesis.txt").write_text("x")
    with pytest.raises(
        Error, match=r"theirs exists and was not made by `destseg try`: it has no try\.json; name another"
    ):
        begun(tmp_path / "theirs", source)
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]
    with pytest.raises(Error, match="exists and was not made by"):
        begun(tmp_path / "theirs/thesis.txt", source)


def test_an_empty_folder_is_taken(tmp_path: Path, source: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert begun(tmp_path / "empty", source) is None


def test_a_record_that_cannot_be_read_is_an_error_that_says_what_to_do(trial: Path, source: Path) -> None:
    (trial / "try.json").write_text("{")
    with pytest.raises(Error, match=r"try\.json cannot be read .*; remove .*trial, or name another with --out"):
        begun(trial, source)


def test_two_runs_at_once_are_refused(trial: Path, source: Path) -> None:
    with (trial / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Error, match="another `destseg try` works in"):
            begun(trial, source)
    assert begun(trial, source) == []


def test_files_that_cannot_be_read_are_named_and_nothing_is_left(tmp_path: Path, source: Path) -> None:
    (source / "link.png").symlink_to("nowhere")
    os.mkfifo(source / "pipe.png")
    with pytest.raises(Error, match=r"cannot be read: .*link\.png, .*pipe\.png; expected files"):
        begun(tmp_path / "trial", source)
    assert not (tmp_path / "trial").exists()


def test_the_stages_keep_their_state_in_the_trial_unless_the_environment_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESTSEG_CACHE")
    monkeypatch.setenv("DESTSEG_CHECKPOINT_SECONDS", "7")
    before = Path.cwd()
    with working_in(tmp_path):
        assert Path.cwd() == tmp_path
        assert os.environ["DESTSEG_CACHE"] == str(tmp_path / "cache")
        assert os.environ["DESTSEG_CHECKPOINT_SECONDS"] == "7"
    assert Path.cwd() == before
    assert "DESTSEG_CACHE" not in os.environ
    assert os.environ["DESTSEG_CHECKPOINT_SECONDS"] == "7"
