"""Weights and cards on disk: whole, checked, and refused by name when they do not fit."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from destseg import Error
from destseg.model import sources
from destseg.model.backbone import BackboneName
from destseg.model.calibration import Calibration
from destseg.model.card import ModelCard
from destseg.model.segmentation import Segmentation, load_segmentation, save_segmentation
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.student import Network, Student, load_student, save_student
from destseg.model.teacher import load_teacher
from destseg.model.weights import load_weights, read_metadata, read_weights, save_weights

CALIBRATION = Calibration(
    threshold=0.5,
    target_rate=0.01,
    provable_rate=0.2,
    confidence=0.95,
    images=12,
    heat_low=0.1,
    heat_high=0.9,
    scores=(0.4,),
)
CARD = ModelCard(
    category="washer",
    size=64,
    bit_depth=8,
    segmentation_width=8,
    teacher={"source": "formula", "sha256": "0" * 64},
    calibration=CALIBRATION,
    training_images="1" * 64,
    destseg="0.1.0",
)


def test_weights_come_back_with_their_metadata(tmp_path: Path) -> None:
    written, read = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(tmp_path / "linear.safetensors", written, {"width": "3"})
    assert load_weights(tmp_path / "linear.safetensors", read) == {"width": "3"}
    assert read_metadata(tmp_path / "linear.safetensors") == {"width": "3"}
    assert torch.equal(written.weight, read.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["linear.safetensors"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    metadata = {name: name for name in "abcdefgh"}
    for index in range(8):
        save_weights(tmp_path / str(index), module, metadata)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_half_precision_is_widened(tmp_path: Path) -> None:
    save_weights(tmp_path / "half.safetensors", nn.Linear(3, 2).half())
    tensors, _ = read_weights(tmp_path / "half.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


def test_first_wrong_tensor_is_named(tmp_path: Path) -> None:
    save_weights(tmp_path / "linear.safetensors", nn.Linear(3, 2))
    with pytest.raises(Error, match=r"weight is \[2, 3\], expected \[2, 4\]"):
        load_weights(tmp_path / "linear.safetensors", nn.Linear(4, 2))
    with pytest.raises(Error, match=r"bias is .*, expected nothing"):
        load_weights(tmp_path / "linear.safetensors", nn.Linear(3, 2, bias=False))


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("not tensors at all")
    with pytest.raises(Error, match="cannot be read as safetensors"):
        read_weights(tmp_path / "text.safetensors")


def test_card_survives_json() -> None:
    assert ModelCard.from_json(CARD.to_json(), "model.json") == CARD


def test_a_card_from_before_the_ablations_is_of_the_papers_shape() -> None:
    content = json.loads(CARD.to_json())
    del content["segmentation_inputs"], content["encoder_decoder"], content["calibration"]["scores"]
    read = ModelCard.from_json(json.dumps(content), "model.json")
    assert CARD.calibration is not None
    assert read == replace(CARD, calibration=replace(CARD.calibration, scores=()))


@pytest.mark.parametrize("encoder_decoder", [True, False])
@pytest.mark.parametrize(("backbone", "network"), [("resnet18", "paper"), ("efficientnet-lite0", "compact")])
def test_a_student_comes_back_in_its_own_shape(
    tmp_path: Path, backbone: BackboneName, network: Network, encoder_decoder: bool
) -> None:
    student = Student(backbone, network=network, encoder_decoder=encoder_decoder)
    save_student(tmp_path / "student.safetensors", student)
    read = load_student(tmp_path / "student.safetensors")
    assert (read.backbone, read.network, read.encoder_decoder) == (backbone, network, encoder_decoder)
    for name, weight in student.state_dict().items():
        assert torch.equal(read.state_dict()[name], weight), name
    save_weights(tmp_path / "student.safetensors", student, {"encoder_decoder": "maybe"})
    with pytest.raises(Error, match="'encoder_decoder': 'maybe'}, expected a known shape"):
        load_student(tmp_path / "student.safetensors")


def test_a_segmentation_net_comes_back_in_its_own_shape_and_so_does_none(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.safetensors"
    save_segmentation(path, Segmentation(8, "distances"))
    read = load_segmentation(path)
    assert read is not None
    assert (read.width, read.inputs) == (8, "distances")
    save_segmentation(path, None)
    assert load_segmentation(path) is None


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"width": "wide"},
        {"width": "99999999"},
        {"width": "8", "inputs": "guess"},
        {"width": "8", "channels": "1,2"},
    ],
)
def test_a_segmentation_net_of_unknown_shape_is_refused(tmp_path: Path, said: dict[str, str]) -> None:
    save_weights(tmp_path / "segmentation.safetensors", Segmentation(8), said)
    with pytest.raises(Error, match="expected a width, a known input"):
        load_segmentation(tmp_path / "segmentation.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 4}, "format 4, this destseg reads up to 3"),
        ({"size": None, "surprise": 1}, "no model card"),
        ({"calibration": {**CALIBRATION.to_dict(), "threshold": float("nan")}}, "threshold"),
        ({"segmentation_inputs": "guess"}, "segmentation_inputs is 'guess'"),
        ({"encoder_decoder": 1}, "encoder_decoder is 1, expected true or false"),
    ],
)
def test_card_that_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    text = json.dumps({**json.loads(CARD.to_json()), **change})
    with pytest.raises(Error, match=message):
        ModelCard.from_json(text, "model.json")


def test_formula_teacher_is_bundled_and_loads(tmp_path: Path) -> None:
    metadata = fetch(TeacherSettings(source="formula"), tmp_path / "teacher.safetensors")
    teacher, read = load_teacher(tmp_path / "teacher.safetensors")
    assert read == metadata
    assert metadata["source"] == "formula"
    assert teacher.conv1.weight.std() > 0.01


def test_teacher_file_with_another_hash_is_refused(tmp_path: Path) -> None:
    settings = TeacherSettings(source="file", path=str(sources.FORMULA), sha256="0" * 64)
    with pytest.raises(Error, match=f"expected {'0' * 64}"):
        fetch(settings, tmp_path / "teacher.safetensors")
    assert not (tmp_path / "teacher.safetensors").exists()


def test_imagenet_teacher_without_internet_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from destseg import Error\n"
        "from destseg.model.sources import TeacherSettings, fetch\n"
        "try: fetch(TeacherSettings(source='imagenet'), Path('teacher.safetensors'))\n"
        "except Error as error: print(error)"
    )
    environment = {"PATH": "", "TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "teacher `imagenet`" in done.stdout
    assert "`formula`" in done.stdout
