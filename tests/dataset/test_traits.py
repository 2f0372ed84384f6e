"""What photographs say of their settings: in `try` and in `dataset add` alike."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from destseg.dataset.traits import suggested
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
    assert suggested(photographs(tmp_path, width, height, grey=grey)) == expected


def test_most_photographs_decide_of_detail_and_one_with_colour_of_grey(tmp_path: Path) -> None:
    paths = photographs(tmp_path, 64, 64, grey=True) + photographs(tmp_path, 600, 600, grey=True, count=2)
    assert suggested(paths) == {"synthesis": {"grey": True}}
    assert suggested([*paths, *photographs(tmp_path, 65, 65, grey=False, count=1)]) == {}


def test_what_cannot_be_decoded_is_passed_over(tmp_path: Path) -> None:
    assert suggested([]) == {}
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert suggested([tmp_path / "broken.png"]) == {}
    assert suggested([tmp_path / "broken.png", *photographs(tmp_path, 64, 64, grey=True)]) == {
        "synthesis": {"grey": True}
    }


def test_a_trial_writes_them_below_its_category(tmp_path: Path) -> None:
    seen = suggested(photographs(tmp_path, 512, 512, grey=True))
    own = yaml.safe_load(params("bolt", {"image": {"size": 256}}, seen, normals_only=False))["categories"]["bolt"]
    assert {section: values for section, values in own.items() if values} == seen
