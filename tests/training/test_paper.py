"""The paper's hyper-parameters are the code's and its preset's, MVTec AD's rotations are in docs/method.md."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from destseg.dataset.catalogue import SECTIONS
from destseg.dataset.images import ImageSettings
from destseg.model.sources import TeacherSettings
from destseg.presets.preset import load, of
from destseg.settings import read_section
from destseg.training.memory import MemorySettings
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import SynthesisSettings

ROOT = Path(__file__).parents[2]
PAPER: dict[type, dict[str, Any]] = {
    ImageSettings: {"size": 256},
    TeacherSettings: {"source": "imagenet"},
    SynthesisSettings: {
        "crop": None,
        "flips": "none",
        "quarter_turns": False,
        "max_degrees": 0,
        "scale_min": 0,
        "scale_max": 5,
        "mask_threshold": 0.5,
        "beta_max": 0.8,
        "grey": False,
        "own_share": 0,
        "part_share": 0,
    },
    StudentSettings: {
        "denoising": True,
        "encoder_decoder": True,
        "network": "paper",
        "reduction": "sum",
        "steps": 1000,
        "batch": 32,
        "optimiser": "sgd",
        "lr": 0.4,
        "encoder_lr_share": 1,
        "schedule": "constant",
        "momentum": 0.9,
        "weight_decay": 1e-4,
    },
    SegmentationSettings: {
        "net": True,
        "prior": None,
        "inputs": "product",
        "l1": True,
        "width": 256,
        "steps": 4000,
        "batch": 32,
        "optimiser": "sgd",
        "lr_res": 0.1,
        "lr_head": 0.01,
        "schedule": "constant",
        "momentum": 0.9,
        "weight_decay": 1e-4,
    },
    MemorySettings: {"patches": 0, "weight": 0.7, "dest_weight": 0.25},
}
NONE = ("capsule", "metal_nut", "pill", "toothbrush", "transistor")
SMALL = ("wood", "zipper", "cable")
QUARTERS = ("bottle", "grid", "hazelnut", "leather", "tile", "carpet", "screw")


def section_of(settings: type) -> str:
    return settings.__name__.removesuffix("Settings").lower()


@pytest.mark.parametrize("settings", PAPER, ids=lambda settings: settings.__name__)
def test_hyper_parameters_are_the_papers_in_the_code_and_in_its_preset(settings: type) -> None:
    preset = load("paper")
    assert read_section(section_of(settings), settings, path=preset.path) == settings()
    assert {name: getattr(settings(), name) for name in PAPER[settings]} == PAPER[settings]
    assert preset.sections.get(section_of(settings), {}).items() <= PAPER[settings].items()


@pytest.mark.parametrize("settings", PAPER, ids=lambda settings: settings.__name__)
def test_params_yaml_ships_the_compact_preset_and_else_the_papers(settings: type) -> None:
    shipped = read_section(section_of(settings), settings, path=ROOT / "params.yaml")
    assert shipped == dataclasses.replace(settings(), **load("compact").sections.get(section_of(settings), {}))
    assert of(root=ROOT) == "compact"


def test_params_yaml_lists_every_setting_of_training() -> None:
    """So that `dvc exp run -S` can change it: a key that is not there would need another spelling."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for settings, section in (
        (SynthesisSettings, "synthesis"),
        (StudentSettings, "student"),
        (SegmentationSettings, "segmentation"),
        (MemorySettings, "memory"),
    ):
        assert list(params[section]) == [field.name for field in dataclasses.fields(settings)]


def blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/method.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_guide_lists_the_rotation_of_every_category_of_mvtec_ad(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(next(block for block in blocks() if "bottle" in block))
    overrides = yaml.safe_load((tmp_path / "params.yaml").read_text())["categories"]
    assert sorted(overrides) == sorted((*NONE, *SMALL, *QUARTERS))
    for category, override in overrides.items():
        assert set(override) <= set(SECTIONS)
        read = read_section("synthesis", SynthesisSettings, category=category, path=tmp_path / "params.yaml")
        turned = {"max_degrees": 0 if category in NONE else 5, "quarter_turns": category in QUARTERS}
        assert read == dataclasses.replace(SynthesisSettings(), **turned)


def test_the_ablations_of_the_guide_are_settings_of_params_yaml() -> None:
    guide = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes = re.findall(r"-S ([a-z0-9_]+)\.([a-z0-9_]+)=([a-z0-9_.]+)", guide)
    changed = {(section, name) for section, name, _ in changes}
    assert {("student", "denoising"), ("student", "encoder_decoder")} <= changed
    assert {("segmentation", name) for name in ("net", "l1", "inputs")} <= changed
    types = {"student": StudentSettings, "segmentation": SegmentationSettings, "synthesis": SynthesisSettings}
    for section, name, value in changes:
        assert name in params[section]
        assert types[section](**{name: yaml.safe_load(value)}) != types[section]()
