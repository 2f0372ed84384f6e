"""From a model to its photographs and back, with a real MLflow store and a real git repository."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from typer.testing import CliRunner

from destseg import Error
from destseg.cli.registry import app
from destseg.dataset import provenance
from destseg.files import sha256
from destseg.registry.addresses import resolve
from destseg.registry.connection import candidates, connect, released
from destseg.registry.evidence import LINEAGE, LINEAGE_TAG, Lineage
from destseg.registry.promotion import promote, rollback
from destseg.registry.register import submit
from destseg.registry.sightings import ImageTrace
from destseg.registry.trace import Trace, trace
from destseg.storage import versions
from tests.registry.conftest import digest

pytestmark = pytest.mark.usefixtures("store")


class Factory:
    """A git repository with provenance records, and the models that were trained in it."""

    def __init__(
        self,
        root: Path,
        category: str,
        results: Callable[..., Path],
        lineage: Callable[..., Lineage],
        compared: Callable[..., Any],
    ) -> None:
        self.root, self.category, self.results, self.lineage = root, category, results, lineage
        self.compared = compared
        self.records: list[dict[str, Any]] = []
        versions.git(root, "init", "--quiet")
        self.commit()

    def commit(self) -> str:
        (self.root / "data/mvtec").mkdir(parents=True, exist_ok=True)
        (self.root / versions.pointer(self.category)).write_text(f"{len(self.records)} photographs\n")
        paths = [versions.pointer(self.category)]
        if self.records:
            provenance.write(self.root, self.category, self.records)
            paths.append(provenance.path(self.category))
        return versions.commit(self.root, paths, "A batch")

    def photograph(self, index: int, **about: Any) -> str:
        """A batch of one; the image's SHA-256."""
        sha = digest(f"{self.category} {index}")
        record = {"sha256": sha, "name": f"train/good/{index}.png", "keys": [f"inbox/{self.category}/{index}.png"]}
        self.records.append(record | {"etag": "e", "modified": f"2026-11-0{index + 1}T08:00:00+00:00", **about})
        self.commit()
        return sha

    def added(self, index: int) -> None:
        """A photograph that `dataset add` brought."""
        name = f"train/good/{index}.png"
        record = {"sha256": digest(f"{self.category} {index}"), "name": name, "keys": [name]}
        self.records.append(record | {"modified": "2026-10-01T08:00:00+00:00"})
        self.commit()

    def train(self, key: str, *, normals: int = 3, commit: str | None = None) -> str:
        """A candidate's address."""
        root = self.results(self.category, weights=f"{self.category} {key}".encode(), normals=normals)
        found = self.lineage(root, key, category=self.category)
        found = dataclasses.replace(found, commit=commit or versions.head(root))
        address = submit(self.category, found, root=root).model_uri
        self.compared(self.category)
        return address


@pytest.fixture
def factory(
    tmp_path: Path,
    category: str,
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    compared: Callable[..., Any],
) -> Factory:
    return Factory(tmp_path, category, results, lineage, compared)


def model(what: object, root: Path) -> Trace:
    found = trace(str(what), root=root)
    assert isinstance(found, Trace)
    return found


def image(what: object, root: Path) -> ImageTrace:
    found = trace(str(what), root=root)
    assert isinstance(found, ImageTrace)
    return found


def test_a_candidate_names_all_that_made_it(factory: Factory, category: str) -> None:
    factory.photograph(0, line="2", camera="left")
    factory.photograph(1, line="3")
    factory.added(2)
    uri = factory.train("a")
    found = model(uri, factory.root)
    assert (found.model, found.aliases, found.candidate) == (uri, ("challenger",), uri)
    assert found.lineage.dataset_version == "aa" * 16 + ".dir"
    assert found.lineage.commit == versions.head(factory.root)
    assert found.lineage.params["student.steps"] == 2400
    assert found.metrics["image_auroc"] == 0.97
    assert [(seen.part, seen.name, seen.sha256) for seen in found.images] == [
        ("training", "train/good/1.png", digest(f"{category} 1")),
        ("training", "train/good/2.png", digest(f"{category} 2")),
        ("calibration", "train/good/0.png", digest(f"{category} 0")),
        ("acceptance", "test/scratch/0.png", digest(f"{category} scratch")),
    ]
    lines = {line[2:19].strip(): line[19:] for line in str(found).splitlines()[1:]}
    assert lines["images"] == f"4: 2 training, 1 calibration, 1 acceptance; list with SHA-256 {found.image_list}"
    assert lines["provenance"] == (
        "3 of 4 have a record; 2 came through the inbox, 2026-11-01 08:00:00 UTC to 2026-11-02 08:00:00 UTC, "
        "1 from line 2, 1 from line 3"
    )
    assert lines["network"] == "paper"
    assert lines["teacher"] == f"formula (backbone resnet18, licence: not recorded), SHA-256 {'5' * 64}"
    assert lines["promoted"] == "never"
    assert "student: lr 0.4, steps 2400" in str(found)
    listed = found.with_images().splitlines()[-4:]
    assert listed[1].endswith("  train/good/2.png  with dataset add, file of 2026-10-01 08:00:00 UTC")
    assert listed[2] == (
        f"  calibration  {digest(f'{category} 0')[:16]}  train/good/0.png  "
        f"as inbox/{category}/0.png, 2026-11-01 08:00:00 UTC, line 2, camera left"
    )


def test_a_model_of_before_there_were_two_networks_is_named_as_one_of_the_papers(
    factory: Factory, category: str
) -> None:
    """As an earlier release registered it: neither its lineage.json nor its tags say a network."""
    uri = factory.train("a")
    client = connect()
    version = client.get_model_version(candidates(category), "1")
    with tempfile.TemporaryDirectory() as folder:
        got = Path(mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=LINEAGE, dst_path=folder))
        content = json.loads(got.read_text())
        assert content.pop("network") == "paper"
        got.write_text(json.dumps(content))
        client.log_artifact(version.run_id, str(got), LINEAGE.rpartition("/")[0])
        client.set_model_version_tag(version.name, version.version, LINEAGE_TAG, sha256(got))
    client.delete_model_version_tag(version.name, version.version, "network")
    found = model(uri, factory.root)
    assert found.lineage.network == "paper"
    assert "teacher          formula (backbone resnet18, licence: not recorded)" in str(found)


def test_provenance_is_that_of_the_models_commit(factory: Factory) -> None:
    factory.photograph(0)
    uri = factory.train("a")
    factory.photograph(1)
    assert [seen.name for seen in model(uri, factory.root).images if seen.origin] == ["train/good/0.png"]


def test_a_released_version_names_who_promoted_it_and_the_same_images(factory: Factory, category: str) -> None:
    candidate = factory.train("a")
    promote(category, why="first", who="Ada", root=factory.root)
    factory.train("b")
    promote(category, why="second", who="Ada", root=factory.root)
    rollback(category, why="b misses scratches", who="Grace")
    found = model(f"models:/{released(category)}@champion", factory.root)
    assert (found.model, found.aliases) == (f"models:/{released(category)}/3", ("champion",))
    assert found.candidate == candidate
    assert [(entry.version, entry.who, entry.why) for entry in found.promotions] == [
        (1, "Ada", "first"),
        (3, "Grace", "b misses scratches"),
    ]
    before = model(candidate, factory.root)
    assert (found.images, found.image_list, found.promotions) == (before.images, before.image_list, before.promotions)


def test_an_image_leads_to_every_model_that_saw_it(
    factory: Factory, category: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sha = factory.photograph(2, version="bb.dir")
    factory.train("a", normals=2)
    factory.train("b", normals=3)
    promote(category, why="first", who="Ada", root=factory.root)
    factory.train("c", normals=2)
    for what in (sha, sha[:12].upper()):
        (found,) = image(what, factory.root).images
        assert [(seen.model, seen.part, seen.aliases) for seen in found.seen_by] == [
            (f"models:/{candidates(category)}/2", "training", ()),
            (f"models:/{released(category)}/1", "training", ("champion",)),
        ]
        assert found.origin == factory.records[0]
    text = str(found).splitlines()
    assert text[0] == f"{sha}  train/good/2.png of {category}"
    assert text[1] == f"  came as inbox/{category}/2.png, 2026-11-03 08:00:00 UTC"
    assert text[2] == "  first in dataset version bb.dir"
    assert text[3] == "  versions that saw it: 2"
    assert text[5].split() == [f"models:/{released(category)}/1", "training", "champion"]
    (elsewhere,) = image(sha, tmp_path_factory.mktemp("no clone")).images
    assert "no clone" in elsewhere.no_origin
    assert (elsewhere.origin, elsewhere.seen_by) == (None, found.seen_by)
    parts = [(digest(f"{category} 0"), "calibration", 4), (digest(f"{category} scratch"), "acceptance", 4)]
    for sha, part, count in parts:
        (found,) = image(sha, factory.root).images
        assert [seen.part for seen in found.seen_by] == [part] * count


def test_a_photograph_is_found_by_its_file_and_before_a_model_saw_it(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "IMG 7.PNG").write_bytes(b"pixels")
    sha = sha256(tmp_path / "IMG 7.PNG")
    assert image(tmp_path / "IMG 7.PNG", tmp_path).images == ()
    assert f"no image {sha} in any list or provenance record" in str(image(sha, tmp_path))
    factory.records.append({"sha256": sha, "name": "train/good/x.png", "keys": ["inbox/\x1b[2J.png"], "etag": "e"})
    factory.commit()
    (found,) = image(tmp_path / "IMG 7.PNG", tmp_path).images
    assert found.seen_by == ()
    assert "came as inbox/\\x1b[2J.png, at an unknown time\n  versions that saw it: 0" in str(found)


def test_lists_are_downloaded_once_and_repaired_when_spoiled(
    factory: Factory, category: str, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    uri = factory.train("a")
    before = model(uri, factory.root)
    (cached,) = (tmp_path / "cache/lineage").iterdir()
    stamp = cached.stat().st_mtime_ns
    assert model(uri, factory.root) == before
    assert cached.stat().st_mtime_ns == stamp
    cached.write_text("")
    assert model(uri, factory.root) == before

    cached.unlink()
    (stored,) = (store / "mlartifacts" / released(category)).rglob("images.jsonl")
    stored.write_text(stored.read_text().replace("training", "acceptance"))
    found = model(uri, factory.root)
    assert found.images == ()
    assert f"images           not known: {uri}: lineage/images.jsonl of its run has SHA-256" in str(found)
    assert not cached.exists()
    asked = image(digest(f"{category} 1"), factory.root)
    assert (asked.images, list(asked.unanswered)) == ((), [uri])
    assert f"and may have seen it: {len(asked.unanswered)}\n  {uri}" in str(asked)
    stored.unlink()
    assert f"reading the images of {uri} did not succeed" in model(uri, factory.root).no_images
    assert f"reading the images of {uri} did not succeed" in image("0" * 64, factory.root).unanswered[uri]


def test_a_version_without_a_list_of_images_says_so_and_is_not_promoted(factory: Factory, category: str) -> None:
    uri = factory.train("a")
    connect().delete_model_version_tag(candidates(category), "1", "image_list")
    assert "names no list of its images" in model(uri, factory.root).no_images
    assert image(digest(f"{category} 1"), factory.root).unanswered[uri].startswith(f"{uri} names no list")
    with pytest.raises(Error, match="lineage: the version has no image_list"):
        promote(category, why="first", root=factory.root)


@pytest.mark.parametrize(
    ("commit", "said"),
    [("d" * 40, f"has no commit {'d' * 12}; run `git fetch`"), ("--output=x", "'--output=x' is no commit")],
)
def test_a_commit_that_the_clone_lacks_costs_only_the_provenance(factory: Factory, commit: str, said: str) -> None:
    found = model(factory.train(commit, commit=commit), factory.root)
    assert len(found.images) == 4
    assert said in found.no_origins
    assert f"provenance       none: {found.no_origins}" in str(found)
    assert not (factory.root / "x").exists()


def test_lineage_that_the_tags_do_not_vouch_for_is_refused(factory: Factory, category: str) -> None:
    uri = factory.train("a")
    connect().set_model_version_tag(candidates(category), "1", "commit", "e" * 40)
    with pytest.raises(Error, match=r"lineage\.json of its run says commit [0-9a-f]{40}, the version's tag e{40}"):
        trace(uri, root=factory.root)


def test_a_package_or_a_file_of_it_leads_to_its_version(factory: Factory, category: str, tmp_path: Path) -> None:
    candidate = factory.train("a")
    promote(category, why="first", who="Ada", root=factory.root)
    uri = f"models:/{released(category)}/1"
    build = factory.root / "build" / category
    local = tmp_path / "part 7.onnx"  # as an integrator may have it
    local.write_bytes((build / "package/model.onnx").read_bytes())
    for path in (build, build / "package", local, resolve(uri)):
        found = model(path, factory.root)
        assert (found.model, found.also) == (uri, (candidate,))
    assert f"same files       {candidate}" in str(found)
    local.write_bytes(b"another graph")
    with pytest.raises(Error, match=r"part 7\.onnx is no file or folder of a registered model"):
        trace(str(local), root=factory.root)


@pytest.mark.parametrize("what", ["abc", "nothing/here", "models:/destseg-x", "g" * 64, "a" * 65])
def test_what_cannot_be_traced_is_one_sentence(what: str) -> None:
    with pytest.raises(Error, match=r"expected models:/NAME@ALIAS"):
        trace(what)


def test_on_the_command_line(factory: Factory, category: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.photograph(0)
    uri = factory.train("a")
    command = [sys.executable, "-m", "destseg", "trace", uri, "--images"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=factory.root, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"{uri} (challenger)\n  dataset version  aaaa")
    line = f"  calibration  {digest(f'{category} 0')[:16]}  train/good/0.png  as inbox/{category}/0.png"
    assert line in done.stdout

    monkeypatch.chdir(factory.root)

    def shown(what: str) -> Any:
        """In this process: another start would import MLflow once more."""
        done = CliRunner().invoke(app, ["trace", what, "--json"], catch_exceptions=False)
        assert done.exit_code == 0
        return json.loads(done.stdout)

    content = shown(uri)
    assert content["lineage"]["params"]["student.steps"] == 2400
    assert content["images"][2]["origin"] == factory.records[0]
    content = shown(digest(f"{category} 0"))
    assert content["images"][0]["seen_by"][0]["model"] == uri
