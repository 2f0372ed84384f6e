"""How long a preset would train is measured on this machine, and said in words."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from destseg.presets import estimate as room
from destseg.presets.estimate import estimate, extrapolated, growing, recipe, seconds
from destseg.presets.preset import load, names
from destseg.text import about

CPU = torch.device("cpu")
PARAMS = """\
image: {size: 64}
student: {encoder_decoder: false}
segmentation: {width: 8}
categories: {bolt: {synthesis: {crop: 64}}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("DESTSEG_DEVICE", "cpu")
    monkeypatch.setattr(room, "BUDGET_S", 0.0)
    monkeypatch.setattr(room, "TIMED", 1)
    return tmp_path


def test_each_preset_and_ones_own_settings_are_estimated(root: Path) -> None:
    found = estimate("bolt", root=root)
    assert list(found.seconds) == [*names(), "own settings"]
    assert all(taken > 0 for taken in found.seconds.values())
    assert "compact about" in str(found)
    assert found.seconds["paper"] > found.seconds["compact"]


def test_what_no_preset_decides_is_the_categorys_own(root: Path) -> None:
    found = recipe(load("compact"), "bolt", root / "params.yaml")
    assert (found.size, found.synthesis.crop, found.student.encoder_decoder) == (64, 64, False)
    assert (found.student.network, found.segmentation.width) == (
        "compact",
        load("compact").sections["segmentation"]["width"],
    )
    assert recipe(None, "bolt", root / "params.yaml").segmentation.width == 8


def test_a_stage_that_trains_nothing_takes_no_time(root: Path) -> None:
    found = recipe(load("compact"), "bolt", root / "params.yaml")
    first = found._replace(student=replace(found.student, steps=1), segmentation=replace(found.segmentation, net=False))
    assert 0 < seconds(first, CPU) < seconds(found, CPU)


def test_sizes_grow_to_those_of_the_training() -> None:
    assert growing(64, 2) == [(64, 2)]
    assert growing(256, 32) == [(64, 2), (128, 2), (256, 2), (256, 8), (256, 32)]
    assert growing(96, 1) == [(64, 1), (96, 1)]


def test_a_step_costs_something_whatever_its_size() -> None:
    assert extrapolated([(100, 1.5), (200, 2.0)], 400) == pytest.approx(3.0)
    assert extrapolated([(100, 1.5)], 100) == 1.5
    assert extrapolated([(100, 3.0), (200, 2.0)], 400) == pytest.approx(4.0)  # noise: in proportion


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0.2, "about 1 s"),
        (80, "about 80 s"),
        (240, "about 4 min"),
        (3 * 3600 + 300, "about 3 h"),
        (40 * 3600, "about 2 days"),
        (36 * 3600 - 1, "about 36 h"),
    ],
)
def test_durations_are_said_in_words(given: float, words: str) -> None:
    assert about(given) == words
