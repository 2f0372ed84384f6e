"""The demo's origin carries the project as it stands, committed or not, and the demo's datasets."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from destseg.local.environment import local_environment
from destseg.local.repository import Repository


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, content in {
        "code.py": "1",
        "room/more.py": "2",
        ".gitignore": "ignored/\n",
        "ignored/large.bin": "3",
        "data/README.md": "4",
        "data/mvtec/tile.dvc": "of the user",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    folder = tmp_path / "demo"
    folder.mkdir()
    found = Repository(folder, local_environment(folder))
    found.prepare()
    return found


def files(repository: Repository) -> set[str]:
    return set(repository.git("ls-tree", "-r", "--name-only", "HEAD").splitlines())


SNAPSHOT = {"code.py", "room/more.py", ".gitignore", "data/README.md"}


def test_a_snapshot_holds_what_git_would_not_ignore_and_no_dataset(repository: Repository, project: Path) -> None:
    repository.take_snapshot(project)
    assert repository.publish("first")
    assert files(repository) == SNAPSHOT


def test_it_is_the_same_for_a_project_under_git_with_uncommitted_work(repository: Repository, project: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=project, check=True)
    subprocess.run(["git", "add", "code.py"], cwd=project, check=True)
    repository.take_snapshot(project)
    repository.publish("first")
    assert files(repository) == SNAPSHOT


def test_the_next_snapshot_follows_the_project_and_keeps_the_demos_datasets(
    repository: Repository, project: Path
) -> None:
    repository.take_snapshot(project)
    (repository.checkout / "data" / "mvtec").mkdir()
    (repository.checkout / "data" / "mvtec" / "washer.dvc").write_text("of the demo")
    repository.publish("first")
    (project / "code.py").unlink()
    (project / "room" / "new.py").write_text("5")
    repository.prepare()
    repository.take_snapshot(project)
    assert repository.publish("second")
    assert files(repository) == SNAPSHOT - {"code.py"} | {"room/new.py", "data/mvtec/washer.dvc"}


def test_an_unchanged_project_makes_no_commit(repository: Repository, project: Path) -> None:
    repository.take_snapshot(project)
    repository.publish("first")
    repository.prepare()
    repository.take_snapshot(project)
    assert not repository.publish("second")


def test_only_an_origin_that_can_be_cloned_counts_as_published(repository: Repository, project: Path) -> None:
    assert not repository.published()
    repository.take_snapshot(project)
    repository.publish("first")
    assert repository.published()


def test_old_locks_in_the_origin_are_removed_and_young_ones_left(repository: Repository) -> None:
    old, young = (repository.origin / "refs" / "heads" / f"{name}.lock" for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, times=(time.time() - 4000,) * 2)
    repository.unlock()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_checkout_for_the_review_page_leaves_the_lock_of_a_push_alone(repository: Repository, project: Path) -> None:
    repository.take_snapshot(project)
    repository.publish("first")
    (repository.checkout / "half.py").write_text("of before")
    lock = repository.origin / "refs" / "heads" / "main.lock"
    lock.touch()
    repository.clone()
    assert lock.exists()
    assert files(repository) == SNAPSHOT
    assert not (repository.checkout / "half.py").exists()


def test_what_a_killed_run_left_is_cleared(repository: Repository, project: Path) -> None:
    repository.take_snapshot(project)
    repository.publish("first")
    (repository.checkout / ".git" / "index.lock").touch()
    (repository.checkout / "half.py").write_text("not whole")
    (repository.origin / "refs" / "heads" / "main.lock").touch()
    repository.prepare()
    repository.take_snapshot(project)
    assert not repository.publish("second")
