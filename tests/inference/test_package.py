"""Every way of scoring gives the score of training: folder, ONNX file, bytes, paths."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from destseg import Error, files
from destseg.dataset.images import ImageError
from destseg.inference.package import TOLERANCE, with_calibration, write_model
from destseg.inference.predictor import Predictor
from destseg.inference.scorer import TorchScorer
from destseg.model.calibration import Calibration
from destseg.model.card import ModelCard
from destseg.model.network import DeSTSeg
from destseg.training.memory import MemorySettings, remember
from destseg.training.synthesis import seeded

from ..compact import NETWORKS, untrained

SIZE = 64


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> DeSTSeg:
    torch.manual_seed(0)
    network = untrained(request.param).train()
    for _ in range(3):  # BatchNorm statistics that are not the initial ones
        network(torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8))
    network.eval()
    if request.param == "compact":
        normal = torch.randint(0, 256, (6, 3, SIZE, SIZE), dtype=torch.uint8)
        settings = MemorySettings(patches=200)
        network.memory = remember(network.teacher, network.student, normal, settings, seeded(0, "memory"))
    return network


@pytest.fixture(scope="module")
def package(network: DeSTSeg, images: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scores, _ = TorchScorer(network, torch.device("cpu")).score(images)
    calibration = Calibration(
        threshold=float(np.sort(scores)[1]),
        target_rate=0.01,
        provable_rate=0.6,
        confidence=0.95,
        images=3,
        heat_low=0.0,
        heat_high=1.0,
        scores=tuple(np.sort(scores)[:2].tolist()),
    )
    card = ModelCard(
        category="washer",
        size=SIZE,
        bit_depth=8,
        segmentation_width=8,
        network=network.student.network,
        backbone=network.teacher.name,
        memory_patches=len(network.memory.patches) if network.memory else 0,
        teacher={"source": "formula", "sha256": "0" * 64},
        calibration=calibration,
        training_images="1" * 64,
        destseg="0.1.0",
    )
    folder = tmp_path_factory.mktemp("package")
    write_model(folder, network, card, images)
    return folder


def as_photographs(images: torch.Tensor, folder: Path) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return paths


@pytest.mark.parametrize("name", ["", "model.onnx"])
def test_packaged_files_score_as_the_network_does(
    package: Path, network: DeSTSeg, images: torch.Tensor, tmp_path: Path, name: str
) -> None:
    scores, maps = TorchScorer(network, torch.device("cpu")).score(images)
    predictor = Predictor.load(package / name)
    found = list(predictor.predict(as_photographs(images, tmp_path), batch=2))
    np.testing.assert_allclose([p.score for p in found], scores, atol=TOLERANCE)
    np.testing.assert_allclose(np.stack([p.map for p in found]), maps, atol=TOLERANCE)
    assert predictor.card.category == "washer"
    assert (predictor.card.network, predictor.card.backbone) == (network.student.network, network.teacher.name)


def test_a_card_of_before_there_were_two_networks_is_one_of_the_papers(
    package: Path, network: DeSTSeg, images: torch.Tensor, tmp_path: Path
) -> None:
    shutil.copytree(package, tmp_path / "old")
    card = json.loads((package / "model.json").read_text())
    shape = [card.pop(name) for name in ("network", "backbone")]
    (tmp_path / "old/model.json").write_text(json.dumps({**card, "format": 1}))
    del card["memory_patches"]
    if network.student.network == "compact":
        with pytest.raises(Error, match=r"model\.safetensors: .* expected .* for DeSTSeg"):
            Predictor.load(tmp_path / "old")
        return
    found = Predictor.load(tmp_path / "old")
    assert [found.card.network, found.card.backbone] == shape == ["paper", "resnet18"]
    assert np.array_equal(found.scorer.score(images)[0], Predictor.load(package).scorer.score(images)[0])


def test_only_the_score_above_the_threshold_is_anomalous(package: Path, images: torch.Tensor, tmp_path: Path) -> None:
    found = list(Predictor.load(package).predict(as_photographs(images, tmp_path)))
    highest = max(range(3), key=lambda index: found[index].score)
    assert [p.anomalous for p in found].index(True) == highest
    assert sum(bool(p.anomalous) for p in found) == 1


def test_bytes_score_as_the_file_they_came_from(package: Path, images: torch.Tensor, tmp_path: Path) -> None:
    paths = as_photographs(images, tmp_path)
    predictor = Predictor.load(package)
    from_paths, from_bytes = predictor.predict(paths), predictor.predict([path.read_bytes() for path in paths])
    assert [p.score for p in from_paths] == [p.score for p in from_bytes]


def test_card_names_the_hash_of_each_file_and_parity_is_recorded(package: Path) -> None:
    card = json.loads((package / "model.json").read_text())
    assert card["files"] == {name: files.sha256(package / name) for name in ("model.safetensors", "model.onnx")}
    parity = json.loads((package / "parity.json").read_text())
    assert set(parity["largest_difference"]) == set(card["files"])
    assert max(parity["largest_difference"].values()) <= TOLERANCE
    assert len(json.loads((package / "golden/expected.json").read_text())) == len(
        list((package / "golden").glob("*.png"))
    )


def test_another_calibration_changes_the_verdict_and_no_score(
    package: Path, images: torch.Tensor, tmp_path: Path
) -> None:
    former = Predictor.load(package).card
    assert former.calibration is not None
    calibration = dataclasses.replace(former.calibration, threshold=-1.0)
    with_calibration(package, calibration, tmp_path / "new")
    for path in (Path(), Path("model.onnx")):
        before, after = Predictor.load(package / path), Predictor.load(tmp_path / "new" / path)
        assert after.card.calibration == calibration
        assert np.array_equal(before.scorer.score(images)[0], after.scorer.score(images)[0])
    card = Predictor.load(tmp_path / "new").card
    assert card == dataclasses.replace(former, calibration=calibration, files=card.files)
    assert card.files == {name: files.sha256(tmp_path / "new" / name) for name in ("model.safetensors", "model.onnx")}


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"is no model: expected a folder with model\.json and model\.safetensors"):
        Predictor.load(tmp_path)


def test_file_that_is_no_image_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("hello")
    with pytest.raises(ImageError, match=r"notes\.png cannot be decoded"):
        list(Predictor.load(package).predict([tmp_path / "notes.png"]))
