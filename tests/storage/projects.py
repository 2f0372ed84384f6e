"""A git repository with two categories, code and stages, for the tests of versions and stages."""

import shutil
from pathlib import Path

import pytest

from destseg.storage import versions

POINTER = "outs:\n- md5: {md5}.dir\n  size: 10\n  nfiles: 2\n  hash: md5\n  path: {category}\n"
PARAMS = """\
seed: 0
teacher: {source: imagenet}
student: {steps: 100, batch: 32}
ingest: {min_batch: 1}
promotion: {image_auroc: 0.9}
monitor: {max_wait_days: 7}
categories:
  washer: {student: {steps: 200}, image: {}, teacher: {}}
  fabric: {student: {}, teacher: {}}
"""
STAGES = """\
stages:
  datasets: {cmd: python -m destseg dataset check}
  teacher:
    matrix: {category: "${categories}"}
    cmd: python -m destseg teacher fetch ${item.category}
    deps: [destseg/teacher.py]
    params: [teacher, "categories.${item.category}.teacher"]
  student:
    matrix: {category: "${categories}"}
    cmd: python -m destseg student ${item.category}
    deps: [destseg/training, "data/mvtec/${item.category}/train", "build/${item.category}/teacher.safetensors"]
    params: [student, "categories.${item.category}.student"]
"""
LOCK = """\
schema: '2.0'
stages:
  datasets: {cmd: d}
  teacher@washer: {cmd: t, outs: [{path: build/washer/teacher.safetensors, md5: aa}]}
  student@washer:
    cmd: s
    deps: [{path: data/mvtec/washer/train, md5: bb}, {path: build/washer/teacher.safetensors, md5: aa}]
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
