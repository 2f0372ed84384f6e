"""Every ablation of the paper runs from training to the packaged model, by its settings alone."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from destseg import Error
from destseg.dataset.accepted import Accepted
from destseg.dataset.demo import render_dataset
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import SEGMENTATION, TEACHER, build_dir, dataset_dir, samples
from destseg.evaluation.evaluate import evaluate
from destseg.inference.assemble import assemble
from destseg.inference.package import TOLERANCE, package
from destseg.inference.predictor import Predictor
from destseg.inference.scorer import TorchScorer
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.weights import read_weights
from destseg.training import memory, segmentation, student

NAME = "washer"
SETTINGS: dict[str, Any] = {
    "image": {"size": 64},
    "texture": {"count": 4},
    "student": {"steps": 2, "batch": 2, "lr": 0.01},
    "segmentation": {"steps": 2, "batch": 2, "width": 8},
    "categories": {NAME: {}},
}
PATCHES = 50
PLAIN = {"encoder_decoder": False}  # exported in half the time, too
COMPACT = {"network": "compact", "reduction": "mean", "optimiser": "adamw", "lr": 0.002}
# settings of `student` and of `segmentation`, and what the model card then says
ABLATIONS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, str, bool]]] = {
    "compact": (COMPACT, {}, (8, "product", True)),
    "compact, no denoising, no L1, concatenated": (
        {**COMPACT, "denoising": False},
        {"l1": False, "inputs": "concatenated"},
        (8, "concatenated", True),
    ),
    "compact, no encoder-decoder, distances": ({**COMPACT, **PLAIN}, {"inputs": "distances"}, (8, "distances", False)),
    "compact, no segmentation net": (COMPACT, {"net": False}, (0, "product", True)),
    "no denoising, no L1": ({"denoising": False}, {"l1": False}, (8, "product", True)),
    "no encoder-decoder, concatenated": (PLAIN, {"inputs": "concatenated"}, (8, "concatenated", False)),
    "no encoder-decoder, distances": (PLAIN, {"inputs": "distances"}, (8, "distances", False)),
    "no segmentation net": ({}, {"net": False}, (0, "product", True)),
    "none of the three": ({"denoising": False, **PLAIN}, {"net": False}, (0, "product", False)),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository's root with photographs of 64x64 and a teacher; the cwd."""
    root = tmp_path_factory.mktemp("repository")
    with contextlib.chdir(root):
        render_dataset(dataset_dir(NAME), NAME, normals=6, test_normals=2, defects_per_kind=1, size=64)
        names = [(sample.name, "00") for sample in samples(dataset_dir(NAME), "train")]
        Accepted(category=NAME, training=names[2:], calibration=names[:2]).write()
        fetch(TeacherSettings(source="formula"), build_dir(NAME) / TEACHER)
        yield root


def write_params(first: dict[str, Any], second: dict[str, Any]) -> None:
    content = {
        **SETTINGS,
        "student": {**SETTINGS["student"], **first},
        "segmentation": {**SETTINGS["segmentation"], **second},
        "memory": {"patches": PATCHES if first.get("network") == "compact" else 0},
    }
    Path("params.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(("first", "second", "shape"), ABLATIONS.values(), ids=ABLATIONS)
def test_an_ablation_is_trained_evaluated_and_packaged_alike(
    first: dict[str, Any], second: dict[str, Any], shape: tuple[int, str, bool]
) -> None:
    write_params(first, second)
    compact = first.get("network") == "compact"
    fetch(TeacherSettings(source="efficientnet-lite0" if compact else "formula"), build_dir(NAME) / TEACHER)
    student.stage(NAME)
    segmentation.stage(NAME)
    memory.stage(NAME)
    evaluate(NAME)
    package(NAME)

    paths = [sample.path for sample in samples(dataset_dir(NAME), "test")]
    network, _ = assemble(NAME)
    scores, maps = TorchScorer(network, torch.device("cpu")).score(load_all(paths, ImageSettings(size=64)))
    verdicts = json.loads((build_dir(NAME) / "evaluation/scores.json").read_text())
    np.testing.assert_allclose([verdict["score"] for verdict in verdicts], scores, rtol=1e-5)
    for name in ("", "model.onnx"):
        predictor = Predictor.load(build_dir(NAME) / "package" / name)
        card = predictor.card
        assert (card.segmentation_width, card.segmentation_inputs, card.encoder_decoder) == shape
        assert card.memory_patches == (PATCHES if compact else 0)
        assert (card.network, card.backbone) == (
            ("compact", "efficientnet-lite0") if compact else ("paper", "resnet18")
        )
        assert card.teacher["backbone"] == card.backbone
        found = list(predictor.predict(paths))
        unit = maps.max()
        np.testing.assert_allclose([p.score for p in found], scores, atol=TOLERANCE * unit)
        np.testing.assert_allclose(np.stack([p.map for p in found]), maps, atol=TOLERANCE * unit)


@pytest.mark.usefixtures("repository")
def test_without_a_net_the_stage_trains_nothing_and_says_so() -> None:
    write_params({}, {"net": False, "steps": 1_000_000_000})
    segmentation.stage(NAME)
    tensors, said = read_weights(build_dir(NAME) / SEGMENTATION)
    assert (tensors, said["width"]) == ({}, "0")
    assert json.loads(said["settings"])["segmentation"]["net"] is False
    assert (build_dir(NAME) / "segmentation-loss.csv").read_text() == "step,focal,l1\n"


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("useless", [{"inputs": "distances"}, {"l1": False}])
def test_without_a_net_its_other_ablations_are_refused(useless: dict[str, Any]) -> None:
    write_params({}, {"net": False, **useless})
    with pytest.raises(Error, match=r"segmentation: net is false, so that inputs .* leave inputs at product"):
        segmentation.stage(NAME)
