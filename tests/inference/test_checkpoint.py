"""A checkpoint in the published layout gives the published forward pass; any other content is refused by name."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from destseg import Error, files
from destseg.dataset.accepted import Accepted
from destseg.dataset.demo import render_dataset
from destseg.dataset.layout import STUDENT, TEACHER, build_dir, dataset_dir, samples
from destseg.evaluation.evaluate import evaluate
from destseg.inference import checkpoint
from destseg.inference.assemble import assemble
from destseg.inference.checkpoint import from_published, import_checkpoint
from destseg.inference.package import package
from destseg.inference.predictor import Predictor
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.weights import read_metadata

State = dict[str, Tensor]
NAME = "washer"
HEAD = "segmentation_net.head"


# The published layout, written out from the facts: [output, input, kernel] of each convolution and its BatchNorm.


def conv_shapes(name: str, outputs: int, inputs: int, kernel: int, norm: str) -> dict[str, tuple[int, ...]]:
    statistics = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.weight": (outputs, inputs, kernel, kernel), **{f"{norm}.{s}": (outputs,) for s in statistics}}


def layer_shapes(name: str, inputs: int, outputs: int, stride: int = 1) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for block, first in enumerate((inputs, outputs)):
        shapes |= conv_shapes(f"{name}.{block}.conv1", outputs, first, 3, f"{name}.{block}.bn1")
        shapes |= conv_shapes(f"{name}.{block}.conv2", outputs, outputs, 3, f"{name}.{block}.bn2")
    if stride != 1 or inputs != outputs:
        shapes |= conv_shapes(f"{name}.0.downsample.0", outputs, inputs, 1, f"{name}.0.downsample.1")
    return shapes


def published_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for net, depth in (("teacher_net", 3), ("student_net", 4)):
        shapes |= conv_shapes(f"{net}.encoder.conv1", 64, 3, 7, f"{net}.encoder.bn1")
        for stage, (inputs, outputs) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512))[:depth], start=1):
            shapes |= layer_shapes(f"{net}.encoder.layer{stage}", inputs, outputs, 1 if stage == 1 else 2)
    for stage, (inputs, outputs) in ((4, (512, 512)), (3, (512, 256)), (2, (256, 128)), (1, (128, 64))):
        shapes |= layer_shapes(f"student_net.decoder_layer{stage}", inputs, outputs)
    shapes |= layer_shapes("segmentation_net.res", 448, 256)
    for branch in range(3):
        shapes |= conv_shapes(f"{HEAD}.0.convs.{branch}.0", 256, 256, 3, f"{HEAD}.0.convs.{branch}.1")
    shapes |= conv_shapes(f"{HEAD}.0.convs.3.1", 256, 256, 1, f"{HEAD}.0.convs.3.2")
    shapes |= conv_shapes(f"{HEAD}.0.project.0", 256, 1024, 3, f"{HEAD}.0.project.1")
    shapes |= conv_shapes(f"{HEAD}.1", 256, 256, 3, f"{HEAD}.2")
    return shapes | {f"{HEAD}.4.weight": (1, 256, 1, 1), f"{HEAD}.4.bias": (1,)}


def random_state(seed: int = 0, *, counters: bool = True) -> State:
    """Weights with BatchNorm statistics that are not the initial ones; `counters` as torch's BatchNorm saves them."""
    generator = torch.Generator().manual_seed(seed)
    state: State = {}
    for name, shape in published_shapes().items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 4:
            state[name] = noise * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        elif name.endswith("running_var") or (name.endswith("weight")):
            state[name] = noise.abs() * 0.5 + 0.5
        else:
            state[name] = noise * 0.1
        if counters and name.endswith("running_var"):
            state[name.removesuffix("running_var") + "num_batches_tracked"] = torch.tensor(7)
    return state


# The published forward pass, in plain functions of the state dict.


def conv_norm(
    state: State, conv: str, norm: str, x: Tensor, stride: int = 1, padding: int = 0, rate: int = 1
) -> Tensor:
    x = F.conv2d(x, state[f"{conv}.weight"], None, stride, padding, rate)
    mean, var, weight, bias = (state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    scale = weight / (var + 1e-5).sqrt()
    return x * scale.view(-1, 1, 1) + (bias - mean * scale).view(-1, 1, 1)


def layer(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    for block, step in ((f"{name}.0", stride), (f"{name}.1", 1)):
        shortcut = x
        if f"{block}.downsample.0.weight" in state:
            shortcut = conv_norm(state, f"{block}.downsample.0", f"{block}.downsample.1", x, step)
        x = conv_norm(state, f"{block}.conv1", f"{block}.bn1", x, step, 1).relu()
        x = (conv_norm(state, f"{block}.conv2", f"{block}.bn2", x, 1, 1) + shortcut).relu()
    return x


def encoder(state: State, name: str, x: Tensor, depth: int) -> list[Tensor]:
    x = F.max_pool2d(conv_norm(state, f"{name}.conv1", f"{name}.bn1", x, 2, 3).relu(), 3, 2, 1)
    maps = []
    for stage in range(1, depth + 1):
        x = layer(state, f"{name}.layer{stage}", x, 1 if stage == 1 else 2)
        maps.append(x)
    return maps


def resized(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def published_forward(state: State, images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [B] and maps [B, S, S] of uint8 images [B, 3, S, S]."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (images / 255 - mean) / deviation
    teacher = encoder(state, "teacher_net.encoder", x, 3)
    decoded, student = layer(state, "student_net.decoder_layer4", encoder(state, "student_net.encoder", x, 4)[3]), []
    for stage in (3, 2, 1):
        decoded = layer(state, f"student_net.decoder_layer{stage}", resized(decoded, 2 * decoded.shape[-1]))
        student.insert(0, decoded)
    products = [
        -(t / t.norm(dim=1, keepdim=True)) * (s / s.norm(dim=1, keepdim=True))
        for t, s in zip(teacher, student, strict=True)
    ]
    x = torch.cat([resized(product, images.shape[-1] // 4) for product in products], dim=1)
    x = layer(state, "segmentation_net.res", x)
    branches = [
        conv_norm(state, f"{HEAD}.0.convs.{b}.0", f"{HEAD}.0.convs.{b}.1", x, padding=rate, rate=rate).relu()
        for b, rate in enumerate((6, 12, 18))
    ]
    pooled = conv_norm(state, f"{HEAD}.0.convs.3.1", f"{HEAD}.0.convs.3.2", x.mean((2, 3), keepdim=True)).relu()
    x = torch.cat([*branches, pooled.expand_as(x)], dim=1)
    x = conv_norm(state, f"{HEAD}.0.project.0", f"{HEAD}.0.project.1", x, padding=1).relu()
    x = conv_norm(state, f"{HEAD}.1", f"{HEAD}.2", x, padding=1).relu()
    logits = F.conv2d(x, state[f"{HEAD}.4.weight"], state[f"{HEAD}.4.bias"])
    maps = resized(torch.sigmoid(logits), images.shape[-1])[:, 0]
    highest = maps.flatten(1).sort(dim=1, descending=True).values[:, : round(maps[0].numel() * 100 / 256**2)]
    return highest.mean(dim=1), maps


@pytest.fixture(scope="module")
def state() -> State:
    return random_state()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, state: State) -> Iterator[Path]:
    """A repository's root with a validated dataset and checkpoint.pth, nothing trained."""
    root = tmp_path_factory.mktemp("repository")
    torch.save(state, root / "checkpoint.pth")
    with contextlib.chdir(root):
        Path("params.yaml").write_text("image: {size: 64}\ncategories: {washer: {}, plate: {}}\n")
        render_dataset(dataset_dir(NAME), NAME, normals=4, test_normals=1, defects_per_kind=1, size=64)
        names = [(sample.name, "00") for sample in samples(dataset_dir(NAME), "train")]
        Accepted(category=NAME, training=names[2:], calibration=names[:2]).write()
        yield root


@pytest.fixture
def empty(repository: Path) -> Iterator[Path]:
    """The same without any weights."""
    yield repository
    TEACHER.unlink(missing_ok=True)
    for path in build_dir(NAME).glob("*.safetensors"):
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
    assert predictor.card.teacher == {"source": "checkpoint", "sha256": files.sha256(empty / "checkpoint.pth")}
    paths = [sample.path for sample in samples(dataset_dir(NAME), "test")]
    with torch.no_grad():
        expected, _ = published_forward(state, torch.cat([predictor_input(predictor, path) for path in paths]))
    np.testing.assert_allclose([p.score for p in predictor.predict(paths)], expected, atol=1e-5)
    verdicts = json.loads((build_dir(NAME) / "evaluation/scores.json").read_text())
    np.testing.assert_allclose([verdict["score"] for verdict in verdicts], expected, atol=1e-5)


def predictor_input(predictor: Predictor, path: Path) -> Tensor:
    from destseg.dataset.images import load_all

    return load_all([path], predictor.image)


def test_a_teacher_that_other_categories_use_is_never_replaced(empty: Path) -> None:
    fetch(TeacherSettings(source="formula"), TEACHER)
    before = TEACHER.read_bytes()
    with pytest.raises(Error, match=r"build/teacher\.safetensors is another teacher than .*checkpoint\.pth has"):
        import_checkpoint(empty / "checkpoint.pth", NAME)
    assert TEACHER.read_bytes() == before
    assert not (build_dir(NAME) / STUDENT).exists()


def test_two_categories_share_the_checkpoints_teacher(empty: Path, tmp_path: Path, state: State) -> None:
    import_checkpoint(empty / "checkpoint.pth", "plate")
    before = read_metadata(TEACHER)
    other = {name: value if name.startswith("teacher") else value * 0.5 for name, value in state.items()}
    torch.save(other | {k: v for k, v in state.items() if k.endswith("tracked")}, tmp_path / "other.pth")
    import_checkpoint(tmp_path / "other.pth", NAME)
    assert read_metadata(TEACHER) == before
    assert assemble(NAME)[1] == before


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "missing": (lambda s: s.pop("student_net.encoder.layer4.1.bn2.bias"), r"layer4\.1\.bn2\.bias is missing"),
    "unknown": (lambda s: s.update({"teacher_net.encoder.fc.weight": torch.ones(2)}), r"fc\.weight' is unknown"),
    "no name": (lambda s: s.update({3: torch.ones(2)}), "3 is unknown"),  # type: ignore[dict-item]
    "shape": (
        lambda s: s.update({"segmentation_net.head.4.weight": torch.ones(2, 256, 1, 1)}),
        r"head\.4\.weight is \[2, 256, 1, 1\], expected \[1, 256, 1, 1\]",
    ),
    "no tensor": (
        lambda s: s.update({"segmentation_net.res.0.bn1.bias": [0.0] * 256}),  # type: ignore[dict-item]
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
        lambda s: [s.pop("teacher_net.encoder.conv1.weight"), s.update({"epoch": 3})],  # type: ignore[dict-item]
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
    assert not TEACHER.exists()


def test_a_file_that_unpacks_to_more_than_the_limit_is_not_unpacked(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 1000)
    with pytest.raises(Error, match="bytes, expected at most 1000"):
        import_checkpoint(empty / "checkpoint.pth", NAME)


def test_a_category_that_is_not_there_is_said_first(empty: Path) -> None:
    with pytest.raises(Error, match=r"category 'bolt' is not in params\.yaml"):
        import_checkpoint(empty / "checkpoint.pth", "bolt")
