"""What a collection of the shared DVC cache removes and keeps: on real repositories, DVC and a remote."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import versions
from destseg.storage.collection import collect
from destseg.storage.sharing import collecting, using_cache

CONFIG = """\
[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = ../../remote
"""
# The stage notes each of its runs outside the workspace.
STAGES = """\
stages:
  student:
    cmd: mkdir -p build && cat data/mvtec/washer/*.png > build/student && date >> ../runs
    deps: [data/mvtec/washer]
    outs: [build/student]
"""


class Plant:
    """An origin with two versions of a dataset, a remote that has both, and a cache that clones share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache, self.runs = folder, folder / "cache", folder / "runs"

    def build(self) -> "Plant":
        folder = self.folder
        versions.git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        versions.git(folder, "init", "--quiet", "--initial-branch=main", "seed")
        seed = folder / "seed"
        (seed / ".dvc").mkdir()
        (seed / ".dvc/config").write_text(CONFIG)
        (seed / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (seed / ".gitignore").write_text("/build\n")
        (seed / "dvc.yaml").write_text(STAGES)
        versions.use_cache(seed, self.cache / "dvc")
        for names in (("a", "b"), ("b", "c")):
            self.add(seed, names)
            versions.commit(seed, [Path()], f"Version {names}")
        versions.git(seed, "push", "--quiet", str(folder / "origin.git"), "HEAD:main")
        shutil.rmtree(seed)
        return self

    def add(self, seed: Path, names: tuple[str, ...]) -> None:
        """Another version, still to be committed."""
        data = seed / "data/mvtec/washer"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        for name in names:
            (data / f"{name}.png").write_text(f"photograph {name}\n" * 100)
        versions.dvc(seed, "add", "data/mvtec/washer")
        versions.dvc(seed, "push", "-q")

    def clone(self, name: str) -> Path:
        versions.git(self.folder, "clone", "--quiet", "origin.git", name)
        versions.use_cache(self.folder / name, self.cache / "dvc")
        return self.folder / name

    def objects(self) -> set[str]:
        return {path.parent.name + path.name for path in (self.cache / "dvc/files/md5").rglob("*") if path.is_file()}

    def ran(self) -> int:
        return len(self.runs.read_text().splitlines())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every path in it is relative, so that it can be copied."""
    return Plant(tmp_path_factory.mktemp("template")).build().folder


@pytest.fixture
def plant(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    return Plant(tmp_path)


def test_what_no_commit_names_goes_and_comes_back_from_the_remote(plant: Plant) -> None:
    data = plant.objects()
    assert len(data) == 5  # a, b, c and two lists
    run = plant.clone("run")
    versions.dvc(run, "repro", "--pull")
    versions.dvc(run, "push", "-q", "--run-cache")
    made = plant.objects() - data
    assert len(made) == 1
    shutil.rmtree(run)

    root = plant.clone("root")
    planned = collect(root)
    assert (planned.in_use, planned.dry, planned.objects, planned.kept) == (False, True, 1, 5)
    assert planned.bytes == len("photograph a\n") * 200
    assert plant.objects() == data | made
    done = collect(root, dry=False)
    assert (done.dry, done.objects, done.bytes, done.kept) == (False, 1, planned.bytes, 5)
    assert plant.objects() == data
    assert len([path for path in (plant.cache / "dvc/runs").rglob("*") if path.is_file()]) == 1, "the run cache stays"

    again = plant.clone("again")
    versions.dvc(again, "repro", "--pull")
    assert (again / "build/student").read_text() == "photograph b\n" * 100 + "photograph c\n" * 100
    assert plant.ran() == 1, "the outputs came from the remote"
    versions.git(again, "checkout", "--quiet", "main~1")
    shutil.rmtree(plant.folder / "remote")  # both versions are in the cache
    versions.dvc(again, "checkout", "-q", "data/mvtec/washer.dvc")
    assert (again / "data/mvtec/washer/a.png").exists()


def test_what_was_not_pushed_is_made_again(plant: Plant) -> None:
    versions.dvc(plant.clone("run"), "repro", "--pull")
    assert collect(plant.clone("root"), dry=False).objects == 1
    versions.dvc(plant.clone("again"), "repro", "--pull")
    assert plant.ran() == 2


def test_what_another_clone_uses_stays(plant: Plant) -> None:
    other = plant.clone("other")
    versions.dvc(other, "repro", "--pull")
    before = plant.objects()
    assert collect(plant.clone("root"), projects=[other], dry=False).objects == 0
    assert plant.objects() == before


def test_nothing_is_collected_when_the_list_of_a_version_is_nowhere(plant: Plant) -> None:
    versions.dvc(plant.clone("run"), "repro", "--pull")
    for folder in (plant.cache / "dvc", plant.folder / "remote"):
        for path in folder.rglob("*.dir"):
            path.unlink()
    before = plant.objects()
    with pytest.raises(Error, match=r"nothing was collected from .* DVC could not say what is in use"):
        collect(plant.clone("root"), dry=False)
    assert plant.objects() == before


def spoil(plant: Plant, *, names: tuple[str, ...] = ()) -> None:
    """Two more commits: one with a dvc.yaml that DVC refuses, and perhaps a version of its own; one that mends both."""
    seed = plant.clone("seed")
    good = {name: (seed / name).read_text() for name in ("dvc.yaml", "data/mvtec/washer.dvc")}
    if names:
        plant.add(seed, names)
    (seed / "dvc.yaml").write_text("stages: [no, mapping]\n")
    versions.commit(seed, [Path()], "A dvc.yaml that is none")
    for name, text in good.items():
        (seed / name).write_text(text)
    versions.commit(seed, [Path()], "As before")
    versions.git(seed, "push", "--quiet", "origin", "HEAD:main")
    shutil.rmtree(seed)


def test_a_commit_that_dvc_cannot_read_is_left_out_if_others_name_all_that_it_does(plant: Plant) -> None:
    versions.dvc(plant.clone("run"), "repro", "--pull")
    spoil(plant)
    data = plant.objects()
    assert collect(plant.clone("dry")).objects == 1
    assert plant.objects() == data
    assert collect(plant.clone("root"), dry=False).objects == 1
    assert len(plant.objects()) == 5  # a, b, c and two lists


def test_nothing_is_collected_where_only_a_commit_that_dvc_cannot_read_names_a_version(plant: Plant) -> None:
    versions.dvc(plant.clone("run"), "repro", "--pull")
    spoil(plant, names=("x", "y"))
    before = plant.objects()
    with pytest.raises(Error, match=r"they name 1 objects that no other commit does"):
        collect(plant.clone("root"), dry=False)
    assert plant.objects() == before


def test_a_clone_that_does_not_name_all_is_refused(plant: Plant) -> None:
    root = plant.clone("root")
    (root / "new").touch()
    with pytest.raises(Error, match="has changed files; expected a fresh clone"):
        collect(root)
    (root / "new").unlink()
    (root / ".dvc/config.local").unlink()
    with pytest.raises(Error, match=r"set it with versions\.use_cache"):
        collect(root)
    versions.git(plant.folder, "clone", "--quiet", "--depth", "1", f"file://{plant.folder}/origin.git", "shallow")
    with pytest.raises(Error, match="lacks the older commits"):
        collect(plant.folder / "shallow")


def test_nothing_is_collected_while_a_run_uses_the_cache(plant: Plant) -> None:
    root = plant.clone("root")
    with using_cache(plant.cache), using_cache(plant.cache):
        found = collect(root, dry=False)
    assert found.in_use
    assert str(found) == "the DVC cache is in use; nothing was collected"
    assert not collect(root).in_use


def test_a_run_waits_for_a_collection_and_says_so(tmp_path: Path) -> None:
    code = (
        "import logging, pathlib; logging.basicConfig(level='INFO', format='%(message)s')\n"
        "from destseg.storage.sharing import using_cache\n"
        f"with using_cache(pathlib.Path({str(tmp_path)!r})): print('in', flush=True)"
    )
    with collecting(tmp_path) as alone:
        assert alone
        run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stderr is not None
        assert run.stderr.readline().startswith("waiting for a collection of unused objects in ")
        assert run.poll() is None
    assert run.communicate()[0] == "in\n"
    with collecting(tmp_path) as alone:
        assert alone
