"""Which version of data and code is this, was it trained before, and who pushed first: on real git repositories."""

import shutil
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import versions

POINTER = "outs:\n- md5: {md5}.dir\n  size: 10\n  nfiles: 2\n  hash: md5\n  path: {category}\n"
PARAMS = """\
seed: 0
student: {steps: 100, batch: 32}
ingest: {min_batch: 1}
promotion: {image_auroc: 0.9}
monitor: {max_wait_days: 7}
categories:
  washer: {student: {steps: 200}, image: {}}
  fabric: {student: {}}
"""
STAGES = """\
stages:
  teacher: {cmd: python -m destseg teacher, deps: [destseg/teacher.py]}
  student:
    matrix: {category: "${categories}"}
    cmd: python -m destseg student ${item.category}
    deps: [destseg/training, "data/mvtec/${item.category}/train", build/teacher.safetensors]
"""
LOCK = """\
schema: '2.0'
stages:
  teacher: {cmd: t, outs: [{path: build/teacher.safetensors, md5: aa}]}
  student@washer:
    cmd: s
    deps: [{path: data/mvtec/washer/train, md5: bb}, {path: build/teacher.safetensors, md5: aa}]
    params: {params.yaml: {student.steps: 200}}
    outs: [{path: build/washer/student.safetensors, md5: cc}]
  student@fabric: {cmd: s}
  student@big-washer: {cmd: s}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two categories, code and stages, and the bare origin it has been pushed to, side by side."""
    folder = tmp_path_factory.mktemp("template")
    root = folder / "project"
    versions.git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    versions.git(folder, "init", "--quiet", "--initial-branch=main", "project")
    versions.git(root, "remote", "add", "origin", "../origin.git")
    for name, text in {
        "params.yaml": PARAMS,
        "dvc.yaml": STAGES,
        "dvc.lock": LOCK,
        "destseg/teacher.py": "teacher",
        "destseg/training/student.py": "student",
        "destseg/unused.py": "unused",
        "data/mvtec/washer.dvc": POINTER.format(md5="0" * 32, category="washer"),
        "data/mvtec/fabric.dvc": POINTER.format(md5="1" * 32, category="fabric"),
    }.items():
        write(root, name, text)
    versions.commit(root, [Path()], "First")
    assert versions.push(root)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A copy of the repository, and of its origin, for one test."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "project"


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Path(name)


def changed(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert old in text
    versions.commit(root, [write(root, name, text.replace(old, new))], f"Change {name}")


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


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/mvtec/fabric.dvc", "1" * 32, "2" * 32),
        ("params.yaml", "fabric: {student: {}}", "fabric: {student: {steps: 7}}"),
        ("params.yaml", "image_auroc: 0.9", "image_auroc: 0.95"),
        ("params.yaml", "min_batch: 1", "min_batch: 5"),
        ("params.yaml", "max_wait_days: 7", "max_wait_days: 3"),
        ("params.yaml", "steps: 100", "steps: 150"),  # which washer overrides
        ("destseg/unused.py", "unused", "changed"),
        ("dvc.lock", "md5: cc", "md5: dd"),
    ],
)
def test_what_changes_nothing_for_a_category_keeps_its_training_key(
    project: Path, name: str, old: str, new: str
) -> None:
    before = versions.training_key(project, "washer")
    changed(project, name, old, new)
    assert versions.training_key(project, "washer") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/mvtec/washer.dvc", "0" * 32, "2" * 32),
        ("params.yaml", "washer: {student: {steps: 200}", "washer: {student: {steps: 201}"),
        ("params.yaml", "batch: 32", "batch: 16"),
        ("params.yaml", "seed: 0", "seed: 1"),
        ("destseg/training/student.py", "student", "changed"),
        ("destseg/teacher.py", "teacher", "changed"),
        ("dvc.yaml", "destseg student", "destseg student --fast"),
    ],
)
def test_what_a_training_depends_on_changes_its_key(project: Path, name: str, old: str, new: str) -> None:
    before = versions.training_key(project, "washer")
    changed(project, name, old, new)
    assert versions.training_key(project, "washer") != before


def test_the_lock_entries_are_the_categorys_own_and_the_teachers(project: Path) -> None:
    assert list(versions.lock_entries(project, "washer")) == ["student@washer", "teacher"]


@pytest.mark.parametrize(("old", "new", "same"), [("cc", "dd", True), ("aa", "ee", True), ("bb", "ff", False)])
def test_the_lock_hash_is_of_what_went_in_not_of_what_came_out(project: Path, old: str, new: str, same: bool) -> None:
    before = versions.lock_hash(versions.lock_entries(project, "washer"))
    write(project, "dvc.lock", LOCK.replace(f"md5: {old}", f"md5: {new}"))
    assert (versions.lock_hash(versions.lock_entries(project, "washer")) == before) is same


def test_a_project_that_never_trained_says_so(project: Path) -> None:
    (project / "dvc.lock").unlink()
    with pytest.raises(Error, match=r"no dvc\.lock"):
        versions.lock_entries(project, "washer")
