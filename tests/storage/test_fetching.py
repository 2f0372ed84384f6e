"""A dataset version is pulled; one that would write outside of its own folder is not: real git, DVC and a remote."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import versions
from destseg.storage.fetching import check, pull

CONFIG = "[core]\n    remote = storage\n    analytics = false\n['remote \"storage\"']\n    url = {remote}\n"
POINTER = Path("data/mvtec/washer.dvc")
CODE = b"raise SystemExit"


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose category washer has been pushed; its own cache is gone."""
    root = tmp_path_factory.mktemp("pushed") / "root"
    images = root / "data/mvtec/washer/train/good"
    images.mkdir(parents=True)
    (images / "a.png").write_text("an image")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(CONFIG.format(remote=root.parent / "remote"))
    subprocess.run(["git", "init", "--quiet", "-b", "main"], cwd=root, check=True)
    versions.dvc(root, "add", "data/mvtec/washer")
    versions.dvc(root, "push")
    shutil.rmtree(root / "data/mvtec/washer")
    shutil.rmtree(root / ".dvc/cache")
    return root


@pytest.fixture
def root(pushed: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(pushed, tmp_path / "root"))


def plant(root: Path, content: bytes) -> None:
    """Another version in the remote, rightly hashed, which the pointer names: `content` is its list of files."""
    (url,) = [line.partition("= ")[2] for line in (root / ".dvc/config").read_text().splitlines() if "url" in line]

    def put(content: bytes, suffix: str = "") -> str:
        md5 = hashlib.md5(content).hexdigest()
        path = Path(url) / "files/md5" / md5[:2] / f"{md5[2:]}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    put(CODE)
    md5 = put(content, ".dir")
    old = versions.dataset_version(root, "washer")
    (root / POINTER).write_text((root / POINTER).read_text().replace(old, f"{md5}.dir"))


def test_a_version_arrives(root: Path) -> None:
    pull(root, "washer", timeout=120)
    assert (root / "data/mvtec/washer/train/good/a.png").read_text() == "an image"


def test_new_files_make_the_version_that_dvc_add_makes_and_need_none_of_the_old_ones(root: Path) -> None:
    good = root / "data/mvtec/washer/train/good"
    good.mkdir(parents=True)
    for name in ("b.png", "c.png"):
        (good / name).write_text(f"image {name}")
    versions.add(root, "washer", ["train/good/b.png", "train/good/c.png"])
    added = (root / POINTER).read_text()
    assert sorted(versions.listing(root, "washer")) == [f"train/good/{name}.png" for name in "abc"]
    assert versions.git(root, "status", "--porcelain", "--ignored", "--", good.as_posix()).startswith("!!")
    (good / "a.png").write_text("an image")
    versions.dvc(root, "add", "data/mvtec/washer")
    assert (root / POINTER).read_text() == added


def test_a_file_that_is_not_there_changes_no_version(root: Path) -> None:
    before = (root / POINTER).read_text()
    with pytest.raises(Error, match="OutputDoesNotExistError"):
        versions.add(root, "washer", ["train/good/nothing.png"])
    assert (root / POINTER).read_text() == before


def test_a_version_that_names_a_file_elsewhere_writes_nothing(root: Path) -> None:
    plant(root, json.dumps([{"md5": hashlib.md5(CODE).hexdigest(), "relpath": "../../../yaml.py"}]).encode())
    with pytest.raises(Error, match=r"names the file '\.\./\.\./\.\./yaml\.py'.*nothing was written"):
        pull(root, "washer", timeout=120)
    assert not (root / "yaml.py").exists()
    assert not (root / "data/mvtec/washer").exists()


def test_a_pointer_to_another_folder_is_refused(root: Path) -> None:
    text = (root / POINTER).read_text()
    (root / POINTER).write_text(text.replace("path: washer", "path: ../../destseg"))
    with pytest.raises(Error, match=r"names the path '\.\./\.\./destseg', expected 'washer'"):
        pull(root, "washer", timeout=120)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "", "a/./b", "a\\..\\b", "a\0b", "..", ".", None, 3])
def test_a_name_that_is_not_below_the_folder_is_refused(name: object) -> None:
    with pytest.raises(Error, match=r"washer names the file .* lies outside of the dataset"):
        check(["train/good/a.png", name], "washer")


@pytest.mark.parametrize("content", [b"", b"[1]", b'[{"md5": "0"}]', b'[{"md5": "0", "relpath": 3}]'])
def test_a_list_that_cannot_be_read_is_refused(root: Path, content: bytes) -> None:
    plant(root, content)
    with pytest.raises(Error, match=r"objects\.py list .*failed with exit code 1"):
        pull(root, "washer", timeout=120)
    assert not (root / "data/mvtec/washer").exists()
