"""Whether a dataset is its version, and whether the remote has all of it: real git, DVC and a remote."""

import shutil
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import state, versions

FOLDER = Path("data/mvtec/washer")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a dataset of two files and a remote beside it, which has nothing yet."""
    root = tmp_path / "root"
    (root / FOLDER / "train").mkdir(parents=True)
    versions.git(root, "init", "--quiet")
    versions.dvc(root, "init", "--quiet")
    versions.dvc(root, "remote", "add", "--default", "storage", "../remote")
    versions.use_cache(root, tmp_path / "cache")
    for name in ("a.png", "b.png"):
        (root / FOLDER / "train" / name).write_text(name)
    versions.dvc(root, "add", str(FOLDER))
    return root


def test_a_dataset_is_pushed_when_the_remote_has_all_of_it(root: Path) -> None:
    assert not state.check_dataset(root, "washer")
    versions.dvc(root, "push")
    assert state.check_dataset(root, "washer")


def test_a_dataset_whose_list_the_remote_has_lost_is_not_pushed(root: Path) -> None:
    versions.dvc(root, "push")
    (listed,) = (root.parent / "remote").rglob("*.dir")
    listed.unlink()
    assert not state.check_dataset(root, "washer")


def test_a_list_that_is_broken_here_is_brought_from_the_remote(root: Path) -> None:
    versions.dvc(root, "push")
    (listed,) = (root.parent / "cache").rglob("*.dir")
    listed.chmod(0o644)
    listed.write_text("[]")
    assert versions.listing(root, "washer").keys() == {"train/a.png", "train/b.png"}


def test_a_list_that_is_nowhere_is_named(root: Path) -> None:
    shutil.rmtree(root.parent / "cache")
    with pytest.raises(Error, match=r"Missing cache files(.|\n)*\.dir"):
        versions.listing(root, "washer")


def test_without_a_remote_nothing_is_pushed(root: Path) -> None:
    versions.dvc(root, "remote", "remove", "storage")
    assert not state.check_dataset(root, "washer")


def test_a_remote_that_cannot_be_asked_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    versions.dvc(root, "remote", "modify", "storage", "url", "s3://bucket/dvc")
    versions.dvc(root, "remote", "modify", "storage", "endpointurl", "http://127.0.0.1:9")
    for name in ("access_key_id", "secret_access_key"):
        versions.dvc(root, "remote", "modify", "--local", "storage", name, "x")
    with pytest.raises(Error, match=r"Could not connect to the endpoint|Connect"):
        state.check_dataset(root, "washer")


def test_a_dataset_that_was_changed_is_no_version(root: Path) -> None:
    state.check_dataset(root, "washer")
    (root / FOLDER / "train/a.png").write_text("changed")
    with pytest.raises(Error, match=r"data/mvtec/washer is not dataset version \w+\.dir, which .*washer\.dvc names"):
        state.check_dataset(root, "washer")
