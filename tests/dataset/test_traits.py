"""What photographs say of their settings: in `try` and in `dataset add` alike."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from destseg.dataset.traits import named, suggested
from destseg.trial.settings import params


def photographs(folder: Path, width: int, height: int, *, grey: bool, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{width}x{height}-{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        pixels = np.random.default_rng(index).integers(0, 256, (height, width, 1 if grey else 3), dtype=np.uint8)
        Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy()).save(path)
    return paths


@pytest.mark.parametrize(
    ("width", "height", "grey", "expected"),
    [
        (300, 200, False, {}),
        (300, 200, True, {"synthesis": {"grey": True}}),
        (2000, 511, False, {}),  # the shorter side counts
        (600, 512, False, {"image": {"size": 512}, "synthesis": {"crop": 256}}),
        (512, 900, True, {"image": {"size": 512}, "synthesis": {"crop": 256, "grey": True}}),
    ],
)
def test_colour_and_detail_are_seen(
    tmp_path: Path, width: int, height: int, grey: bool, expected: dict[str, dict[str, object]]
) -> None:
    assert suggested(photographs(tmp_path, width, height, grey=grey), {}) == expected


def test_most_photographs_decide_on_detail_and_one_with_colour_on_grey(tmp_path: Path) -> None:
    paths = photographs(tmp_path, 64, 64, grey=True) + photographs(tmp_path, 600, 600, grey=True, count=2)
    assert suggested(paths, {}) == {"synthesis": {"grey": True}}
    assert suggested([*paths, *photographs(tmp_path, 65, 65, grey=False, count=1)], {}) == {}


def test_what_cannot_be_decoded_is_passed_over(tmp_path: Path) -> None:
    assert suggested([], {}) == {}
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert suggested([tmp_path / "broken.png"], {}) == {}
    assert suggested([tmp_path / "broken.png", *photographs(tmp_path, 64, 64, grey=True)], {}) == {
        "synthesis": {"grey": True}
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"image": {"size": 256}, "synthesis": {"crop": None, "grey": False}}, {"size", "crop", "grey"}),
        ({"image": {"size": 128}}, {"grey"}),
        ({"synthesis": {"crop": 128}}, {"grey"}),
        ({"synthesis": {"grey": True}}, {"size", "crop"}),
    ],
)
def test_what_a_person_has_set_stays(tmp_path: Path, given: dict[str, dict[str, object]], expected: set[str]) -> None:
    found = suggested(photographs(tmp_path, 512, 512, grey=True), given)
    assert {name for section in found.values() for name in section} == expected


def test_sixteen_bits_are_read_with_their_depth(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (512, 512), dtype=np.uint16)).save(path)
    assert suggested([path], {}) == {}  # refused without its depth
    assert suggested([path], {"image": {"bit_depth": 12}}) == {
        "image": {"size": 512},
        "synthesis": {"crop": 256, "grey": True},
    }


def test_they_are_named_in_a_sentence() -> None:
    seen = {"image": {"size": 512}, "synthesis": {"crop": 256, "grey": True}}
    assert named(seen) == "image.size 512, synthesis.crop 256, synthesis.grey true"


def test_a_trial_writes_them_below_its_category(tmp_path: Path) -> None:
    seen = suggested(photographs(tmp_path, 512, 512, grey=True), {})
    own = yaml.safe_load(params("bolt", {"image": {"size": 256}}, seen, normals_only=False))["categories"]["bolt"]
    assert {section: values for section, values in own.items() if values} == seen
