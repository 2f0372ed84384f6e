"""`destseg compare` on a real MLflow store, a git repository with a DVC remote, and models that score."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from destseg import Error
from destseg.dataset.layout import dataset_dir
from destseg.evaluation.summary import Summary
from destseg.files import sha256
from destseg.registry import comparison, log
from destseg.registry.compare import compare, is_compared
from destseg.registry.connection import candidates, connect, released
from destseg.registry.evidence import Lineage
from destseg.registry.gates import Gate
from destseg.registry.policy import compare_by_policy
from destseg.registry.promotion import promote
from destseg.storage import versions

from .clones import Repository, make_template

pytestmark = pytest.mark.usefixtures("store")
# A process that dies when all files are logged and the tag is not set yet.
KILLED = """
import os, sys, mlflow
mlflow.MlflowClient.set_model_version_tag = lambda *_: os._exit(9)
from destseg.registry.compare import compare
compare(sys.argv[1])
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def repository(
    tmp_path: Path, template: Path, category: str, results: Callable[..., Path], lineage: Callable[..., Lineage]
) -> Repository:
    return Repository(tmp_path, template, category, results, lineage)


def challenger(category: str) -> Any:
    return connect().get_model_version_by_alias(candidates(category), "challenger")


def is_current(category: str, root: Path, candidate: Any = None) -> bool:
    """Whether the challenger, or this candidate, was compared with the present champion on the present version."""
    version = versions.dataset_version(root, category)
    return is_compared(connect(), category, candidate or challenger(category), version)


def files_of(category: str) -> tuple[Path, dict[str, Any]]:
    """The comparison that the challenger's tag names, and its content."""
    version = challenger(category)
    found = comparison.reference(version)
    assert found is not None
    folder = comparison.fetch(version, found)
    return folder, comparison.read(folder)


def test_the_first_candidate_is_measured_alone_once_and_can_be_promoted(repository: Repository, category: str) -> None:
    uri, root = repository.train("a", seed=1), repository.root
    assert not is_current(category, root)
    with pytest.raises(Error, match=rf"was not compared yet; run `destseg compare {category} --version 1`"):
        promote(category, why="first", root=root)

    found = compare(category, root=root)
    assert (found.model_uri, found.champion, found.created) == (uri, None, True)
    folder, content = files_of(category)
    assert sorted(path.name for path in folder.iterdir()) == ["challenger.npz", "comparison.json", "gallery.zip"]
    assert (content["challenger"]["address"], content["champion"], content["pushed"]) == (uri, None, True)
    assert content["dataset_version"] == versions.dataset_version(root, category)
    assert content["commit"] == versions.head(root)
    assert content["changes"]["data"]["added"] == 4  # all that it saw
    assert content["changes"]["data"]["sheet"] == []
    run = connect().get_run(found.run_id)
    assert run.info.run_name == f"{category}-comparison-1-none"
    assert connect().get_experiment(run.info.experiment_id).name == released(category)

    entry = log.read(connect(), category)[-1]
    assert (entry.event, entry.subject, entry.content["run_id"]) == ("compared", uri, found.run_id)
    assert entry.why == found.verdict

    assert is_current(category, root)
    decision = compare_by_policy(category, root=root)
    assert decision.comparison == replace(found, created=False)
    assert (decision.promotion.policy, decision.promotion.promoted) == ("review", False)
    assert {gate.name: gate.passed for gate in decision.promotion.gates}["compared"]
    assert str(decision) == f"{decision.comparison}\n{decision.promotion}"
    assert compare(category, again=True, root=root).run_id != found.run_id

    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("{min_image_auroc: 0.9}", "{policy: auto}"))
    done = compare_by_policy(category, root=root).promotion
    assert done.promoted
    assert {gate.name: gate.passed for gate in done.gates} == {"compared": True, "parity": True, "lineage": True}
    again = compare_by_policy(category, root=root)  # as a task that is tried again does
    assert (again.comparison, again.promotion.promoted) == (None, False)
    assert again.promotion.reason == "candidate 1 was released before, as version 1"
    with pytest.raises(Error, match="is the champion, as version 1; there is nothing to compare"):
        compare(category, root=root)


def test_a_challenger_is_compared_with_the_champion_and_the_record_says_what_changed(
    repository: Repository, category: str
) -> None:
    root = repository.root
    first = repository.git("rev-parse", "HEAD").strip()
    repository.train("a", seed=1)
    compare(category, root=root)
    promote(category, why="first", override=True, root=root)
    (root / "recipe.txt").write_text("new")
    second = repository.commit("A recipe")
    repository.train("b", seed=2, normals=slice(1, 5), params={"student.lr": 0.1})

    compared = compare(category, root=root)
    assert compared.champion == f"models:/{released(category)}/1"
    folder, content = files_of(category)
    assert set(content["differences"]) == {"image_auroc", "pixel_ap"}
    former, now = (Summary.load(folder / f"{role}.npz") for role in ("champion", "challenger"))
    assert former.hashes == now.hashes
    assert (former.scores != now.scores).any()
    changes = content["changes"]
    assert changes["params"] == [{"name": "student.lr", "champion": 0.4, "challenger": 0.1}]
    assert (changes["data"]["added"], changes["data"]["removed"]) == (2, 1)
    came = ["train/good/3.png", "train/good/4.png"]
    assert changes["data"]["added_names"] == came
    assert changes["data"]["removed_names"] == ["train/good/0.png"]
    assert changes["data"]["sheet"] == [
        {"name": name, "sha256": sha256(dataset_dir(category, root) / name)} for name in came
    ]
    with zipfile.ZipFile(folder / "gallery.zip") as archive:
        assert {"0/champion.webp", "added/0.webp", "added/1.webp"} <= set(archive.namelist())
        assert "added/2.webp" not in archive.namelist()
    assert (changes["code"]["champion"], changes["code"]["challenger"]) == (first, second)
    assert changes["code"]["commits"] == [f"{second[:7]} A recipe"]
    assert changes["code"]["files"] == ["recipe.txt"]
    assert changes["unknown"] == {}


def test_a_comparison_with_a_former_champion_or_with_changed_files_passes_no_gate(
    repository: Repository, category: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository.root
    repository.train("a", seed=0)
    compare(category, root=root)
    repository.train("b", seed=1)
    promote(category, why="first", version=2, override=True, root=root)
    older = connect().get_model_version(candidates(category), "1")
    assert not is_current(category, root, older)  # it was compared when there was no champion
    with pytest.raises(Error, match=r"candidate 1 was compared with no champion, there is champion 1 now; run"):
        promote(category, why="the older one", version=1, root=root)

    made = compare(category, version=1, root=root)
    (gallery,) = (store / "mlartifacts" / released(category) / made.run_id).rglob("gallery.zip")
    gallery.write_bytes(b"other pictures")
    monkeypatch.setenv("DESTSEG_CACHE", str(store / f"{category}-cache"))
    with pytest.raises(Error, match=r"gallery\.zip has been changed since it was registered"):
        promote(category, why="the older one", version=1, root=root)
    assert compare(category, version=1, root=root).created  # made anew
    gates = {gate.name: gate.passed for gate in promote(category, why="x", version=1, override=True, root=root).gates}
    assert gates["compared"]


def test_a_kill_before_the_tag_leaves_a_run_that_nothing_points_to(repository: Repository, category: str) -> None:
    repository.train("a", seed=1)
    done = subprocess.run([sys.executable, "-c", KILLED, category], cwd=repository.root, env=os.environ)
    assert done.returncode == 9
    place = connect().get_experiment_by_name(released(category)).experiment_id
    names = [run.info.run_name for run in connect().search_runs([place])]
    assert f"{category}-comparison-1-none" in names
    assert comparison.reference(challenger(category)) is None
    assert compare(category, root=repository.root).created


def test_only_the_dataset_version_that_git_names_is_compared_on(repository: Repository, category: str) -> None:
    repository.train("a", seed=1)
    (dataset_dir(category, repository.root) / "test/good/0.png").unlink()
    with pytest.raises(Error, match=r"is not dataset version .*\.dir, which .* names; bring it here with `dvc pull"):
        compare(category, root=repository.root)
    assert comparison.reference(challenger(category)) is None


def test_a_challenger_is_not_judged_on_what_it_was_trained_on(repository: Repository, category: str) -> None:
    def compared() -> Gate:
        compare(category, root=repository.root)
        found = promote(category, why="trial", override=True, root=repository.root)
        return next(gate for gate in found.gates if gate.name == "compared")

    seen = ["test/good/1.png", "test/hole/0.png"]
    repository.train("a", seed=1, seen=seen)
    gate = compared()
    assert not gate.passed
    assert "the challenger was trained on 2 (test/good/1.png, test/hole/0.png) of them" in gate.why
    repository.train("b", seed=2)
    gate = compared()
    assert gate.passed
    assert "the champion was trained on 2 (test/good/1.png, test/hole/0.png) of them" in gate.why
    assert files_of(category)[1]["trained_on"] == {"challenger": [], "champion": seen}


def test_data_that_nobody_pushed_and_settings_that_nobody_committed_fail_the_lineage(
    repository: Repository, category: str
) -> None:
    def lineage() -> str:
        compare(category, again=True, root=repository.root)
        found = promote(category, why="trial", override=True, root=repository.root)
        return {gate.name: gate.why for gate in found.gates}["lineage"]

    repository.train("a", seed=1)
    shutil.rmtree(repository.remote)
    assert "is not in the DVC remote" in lineage()
    repository.train("b", seed=2)
    with (repository.root / "params.yaml").open("a") as params:
        params.write("# nobody committed this\n")
    assert "changes that were not committed when it was compared" in lineage()


def test_what_cannot_be_told_of_the_changes_is_said(repository: Repository, category: str) -> None:
    root = repository.root
    repository.train("a", seed=1)
    compare(category, root=root)
    promote(category, why="first", override=True, root=root)
    repository.git("commit", "--quiet", "--allow-empty", "-m", "Elsewhere")
    repository.train("b", seed=2)
    lost = versions.head(root)
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    compare(category, root=root)
    code = files_of(category)[1]["changes"]
    assert (code["code"]["challenger"], code["code"]["commits"]) == (lost, [])
    assert code["unknown"] == {"code": f"commit {lost} is not in this clone"}


def test_a_tag_that_is_no_reference_is_an_error_with_a_remedy(repository: Repository, category: str) -> None:
    repository.train("a", seed=1)
    version = challenger(category)
    for text in ("no JSON", "{}", '{"run_id": "a", "champion": "none", "dataset_version": "b", "files": {}}'):
        connect().set_model_version_tag(version.name, version.version, comparison.TAG, text)
        with pytest.raises(Error, match=r"its tag comparison cannot be read .*; run `destseg compare --again`"):
            comparison.reference(challenger(category))
    assert not is_current(category, repository.root)
    assert mlflow.active_run() is None
