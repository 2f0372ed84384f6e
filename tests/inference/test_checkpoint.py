"""A checkpoint in the published layout gives the published forward pass; any other content is refused by name."""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from destseg import Error, files
from destseg.dataset.accepted import Accepted
from destseg.dataset.demo import render_dataset
from destseg.dataset.images import load_all
from destseg.dataset.layout import SEGMENTATION, STUDENT, TEACHER, build_dir, dataset_dir, samples
from destseg.evaluation.evaluate import evaluate
from destseg.inference import checkpoint
from destseg.inference.assemble import assemble
from destseg.inference.checkpoint import from_published, import_checkpoint
from destseg.inference.package import package
from destseg.inference.predictor import Predictor
from destseg.model.sources import TeacherSettings, fetch

from .published import State, published_forward, random_state

NAME = "washer"


@pytest.fixture(scope="module")
def state() -> State:
    return random_state()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, state: State) -> Iterator[Path]:
    """A repository's root with a validated dataset and checkpoint.pth, nothing trained."""
    root = tmp_path_factory.mktemp("repository")
    torch.save(state, root / "checkpoint.pth")
    with contextlib.chdir(root):
        # As the shipped params.yaml, which is about trainings: what a published checkpoint is they do not change.
        compact = "teacher: {source: efficientnet-lite0}\nstudent: {network: compact}\nsegmentation: {width: 48}\n"
        Path("params.yaml").write_text(f"image: {{size: 64}}\n{compact}categories: {{washer: {{}}, plate: {{}}}}\n")
        render_dataset(dataset_dir(NAME), NAME, normals=4, test_normals=1, defects_per_kind=1, size=64)
        names = [(sample.name, "00") for sample in samples(dataset_dir(NAME), "train")]
        Accepted(category=NAME, training=names[2:], calibration=names[:2]).write()
        yield root


@pytest.fixture
def empty(repository: Path) -> Iterator[Path]:
    """The same without any weights."""
    yield repository
    for path in Path("build").glob("*/*.safetensors"):
        path.unlink()


@pytest.mark.parametrize("counters", [True, False])
def test_the_forward_pass_is_the_published_one(counters: bool) -> None:
    weights = random_state(1, counters=counters)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        scores, maps = from_published(weights, "here")(images)
        expected_scores, expected_maps = published_forward(weights, images)
    assert expected_maps.std() > 0.01
    torch.testing.assert_close(maps, expected_maps, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, expected_scores, atol=1e-5, rtol=0)


def test_an_imported_checkpoint_is_evaluated_and_packaged(empty: Path, state: State) -> None:
    build_dir(NAME).mkdir(parents=True, exist_ok=True)
    (build_dir(NAME) / "calibration.json").write_text("null")  # of a former model
    said = import_checkpoint(empty / "checkpoint.pth", NAME)
    assert said.endswith("go on with `destseg evaluate washer` and `destseg package washer`")
    with pytest.raises(Error, match="run the stage `evaluate` first"):
        package(NAME)
    evaluate(NAME)
    package(NAME)
    predictor = Predictor.load(build_dir(NAME) / "package")
    assert (predictor.card.network, predictor.card.backbone) == ("paper", "resnet18")
    assert predictor.card.teacher == {
        "source": "checkpoint",
        "sha256": files.sha256(empty / "checkpoint.pth"),
        "backbone": "resnet18",
        "licence": "not known",
    }
    report = (build_dir(NAME) / "evaluation/report.html").read_text(encoding="utf-8")
    assert "checkpoint (backbone resnet18, licence: not known)" in report
    assert "Network paper, teacher checkpoint" in report
    paths = [sample.path for sample in samples(dataset_dir(NAME), "test")]
    with torch.no_grad():
        expected, _ = published_forward(state, load_all(paths, predictor.image))
    np.testing.assert_allclose([p.score for p in predictor.predict(paths)], expected, atol=1e-5)
    verdicts = json.loads((build_dir(NAME) / "evaluation/scores.json").read_text())
    np.testing.assert_allclose([verdict["score"] for verdict in verdicts], expected, atol=1e-5)


def test_an_import_brings_its_own_teacher_and_leaves_other_categories_theirs(empty: Path) -> None:
    for category in ("plate", NAME):
        fetch(TeacherSettings(source="formula"), build_dir(category) / TEACHER)
    before = (build_dir("plate") / TEACHER).read_bytes()
    import_checkpoint(empty / "checkpoint.pth", NAME)
    assert (build_dir("plate") / TEACHER).read_bytes() == before
    assert assemble(NAME)[1]["source"] == "checkpoint"


@pytest.mark.parametrize("cut", ["save_weights", "save_student", "save_segmentation"])
def test_an_import_that_was_cut_short_leaves_no_model_that_mixes_old_and_new(
    empty: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    former = [build_dir(NAME) / name for name in (STUDENT, SEGMENTATION)]
    for path in former:
        path.write_bytes(b"former")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, cut, full)
    with pytest.raises(OSError, match="No space left"):
        import_checkpoint(empty / "checkpoint.pth", NAME)
    with pytest.raises(Error, match="does not exist"):
        assemble(NAME)
    assert [path for path in former if path.exists() and path.read_bytes() == b"former"] == []


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (lambda s: s.pop("student_net.encoder.layer4.1.bn2.bias"), r"layer4\.1\.bn2\.bias is missing"),
    "unknown": (lambda s: s.update({"teacher_net.encoder.fc.weight": torch.ones(2)}), r"fc\.weight' is unknown"),
    "no name": (lambda s: s.update({3: torch.ones(2)}), "3 is unknown"),
    "shape": (
        lambda s: s.update({"segmentation_net.head.4.weight": torch.ones(2, 256, 1, 1)}),
        r"head\.4\.weight is \[2, 256, 1, 1\], expected \[1, 256, 1, 1\]",
    ),
    "no tensor": (
        lambda s: s.update({"segmentation_net.res.0.bn1.bias": [0.0] * 256}),
        r"res\.0\.bn1\.bias is list, expected a dense tensor",
    ),
    "sparse": (
        lambda s: s.update({"segmentation_net.res.0.bn1.bias": torch.ones(256).to_sparse()}),
        r"res\.0\.bn1\.bias is Tensor, expected a dense tensor",
    ),
    "integer": (
        lambda s: s.update({"teacher_net.encoder.bn1.weight": torch.ones(64, dtype=torch.int64)}),
        r"bn1\.weight is of torch\.int64, expected torch\.float32",
    ),
    "not finite": (
        lambda s: s.update({"teacher_net.encoder.bn1.weight": torch.full((64,), 1e300, dtype=torch.float64)}),
        r"bn1\.weight has a value that is not finite",
    ),
    "several": (
        lambda s: [s.pop("teacher_net.encoder.conv1.weight"), s.update({"epoch": 3})],
        "'epoch' is unknown",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG)
def test_the_first_wrong_key_is_named(state: State, spoil: Callable[[State], Any], message: str) -> None:
    spoiled = dict(state)
    spoil(spoiled)
    with pytest.raises(Error, match=rf"^checkpoint\.pth: .*{message}"):
        from_published(spoiled, "checkpoint.pth")


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read: No such file"),
        (b"no archive", "is no checkpoint, expected what torch.save of torch 1.6 or newer writes"),
        ([torch.ones(2)], "holds list, expected a dictionary of tensors"),
        (Code(), "cannot be loaded as weights alone"),
        (torch.nn.Linear(2, 2), "cannot be loaded as weights alone"),
    ],
)
def test_a_file_of_another_kind_is_refused_and_nothing_is_written(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "checkpoint.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(Error, match=message) as caught:
        import_checkpoint(path, NAME)
    assert len(str(caught.value).splitlines()) == 1
    assert not Path("ran").exists()
    assert not (build_dir(NAME) / TEACHER).exists()


def test_a_file_that_unpacks_to_more_than_the_limit_is_not_unpacked(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 1000)
    with pytest.raises(Error, match="bytes, expected at most 1000"):
        import_checkpoint(empty / "checkpoint.pth", NAME)


def test_a_category_that_is_not_there_is_said_first(empty: Path) -> None:
    with pytest.raises(Error, match=r"category 'bolt' is not in params\.yaml"):
        import_checkpoint(empty / "checkpoint.pth", "bolt")
