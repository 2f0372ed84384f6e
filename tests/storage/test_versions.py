"""Which version of data and code is this, and who pushed first: on real git repositories."""

from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import versions

from .projects import PARAMS, write


def clone(project: Path, name: str) -> Path:
    into = project.parent / name
    versions.git(project.parent, "clone", "--quiet", str(project.parent / "origin.git"), str(into))
    return into


def test_the_dataset_version_is_the_hash_in_the_pointer_file(project: Path) -> None:
    assert versions.dataset_version(project, "washer") == "0" * 32 + ".dir"


def test_a_category_without_a_dataset_says_how_to_add_one(project: Path) -> None:
    with pytest.raises(Error, match="destseg dataset add bottle --from DIR"):
        versions.dataset_version(project, "bottle")


@pytest.mark.parametrize("text", ["", "outs: []", "outs:\n- md5: abc\n  path: washer\n", "a: b: c"])
def test_a_broken_pointer_file_is_named(project: Path, text: str) -> None:
    write(project, "data/mvtec/washer.dvc", text)
    with pytest.raises(Error, match=r"washer\.dvc names no dataset version"):
        versions.dataset_version(project, "washer")


def test_a_tree_is_clean_until_something_in_it_changes(project: Path) -> None:
    assert versions.is_clean(project)
    write(project, "new.txt", "")
    assert not versions.is_clean(project)


def test_a_commit_takes_the_files_it_names_only(project: Path) -> None:
    before = versions.head(project)
    write(project, "other.txt", "")
    after = versions.commit(project, [write(project, "one.txt", "")], "One")
    assert after == versions.head(project) != before
    assert versions.git(project, "status", "--porcelain").split() == ["??", "other.txt"]


def test_a_machine_that_knows_no_committer_can_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    versions.commit(project, [write(project, "one.txt", "")], "One")
    assert versions.git(project, "log", "-1", "--format=%an").strip() == "destseg"


def test_an_update_brings_what_others_pushed(project: Path) -> None:
    other = clone(project, "other")
    commit = versions.commit(project, [write(project, "one.txt", "")], "One")
    assert versions.push(project)
    versions.update(other)
    assert versions.head(other) == commit


def test_an_update_never_throws_work_away(project: Path) -> None:
    write(project, "params.yaml", PARAMS + "# mine\n")
    with pytest.raises(Error, match="changed files; expected a clean clone"):
        versions.update(project)
    versions.commit(project, [Path("params.yaml")], "Mine")
    with pytest.raises(Error, match=r"1 commit\(s\) that origin/main has not"):
        versions.update(project)


def test_a_clone_on_no_branch_is_refused(project: Path) -> None:
    versions.git(project, "checkout", "--quiet", "--detach")
    with pytest.raises(Error, match="on no branch"):
        versions.update(project)


def test_the_slower_of_two_pushes_is_told_so_and_goes_on_top(project: Path) -> None:
    other = clone(project, "other")
    versions.commit(project, [write(project, "one.txt", "1")], "One")
    versions.commit(other, [write(other, "two.txt", "2")], "Two")
    assert versions.push(project)
    assert not versions.push(other)
    assert versions.replay(other)
    assert versions.push(other)
    assert (other / "one.txt").exists()


@pytest.mark.parametrize("mine", ["theirs", "mine"])
def test_a_change_of_the_same_file_is_not_put_on_top(project: Path, mine: str) -> None:
    other = clone(project, "other")
    theirs = versions.commit(project, [write(project, "params.yaml", PARAMS + "# theirs\n")], "Theirs")
    versions.commit(other, [write(other, "params.yaml", f"{PARAMS}# {mine}\n")], "Mine")
    assert versions.push(project)
    assert not versions.push(other)
    assert not versions.replay(other)
    assert versions.head(other) == theirs
    assert versions.is_clean(other)


def test_a_push_that_the_server_refuses_is_an_error(project: Path) -> None:
    hook = project.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho data/ only\nexit 1\n")
    hook.chmod(0o755)
    versions.commit(project, [write(project, "one.txt", "")], "One")
    with pytest.raises(Error, match="data/ only"):
        versions.push(project)
