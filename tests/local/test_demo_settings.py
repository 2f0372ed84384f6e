"""The demo trains the paper's network on its own schedule, whatever preset params.yaml ships."""

import shutil
from dataclasses import replace
from pathlib import Path

from destseg.dataset.catalogue import SECTIONS
from destseg.dataset.images import ImageSettings
from destseg.local.demo_settings import OVERRIDES, DemoSettings, write_settings
from destseg.model.sources import TeacherSettings
from destseg.settings import read_params, read_section
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import SynthesisSettings

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def test_its_settings_are_the_papers_but_for_its_own(tmp_path: Path) -> None:
    shutil.copy(SHIPPED, tmp_path)
    (tmp_path / ".dvc").mkdir()
    write_settings(tmp_path, DemoSettings())
    path = tmp_path / "params.yaml"
    expected = {
        "image": ImageSettings(size=128),
        "teacher": TeacherSettings(source="formula"),
        "synthesis": SynthesisSettings(),
        "student": replace(StudentSettings(), **OVERRIDES["student"]),
        "segmentation": replace(SegmentationSettings(), **OVERRIDES["segmentation"]),
    }
    for category in ("washer", "fabric"):
        assert {
            name: read_section(name, type(own), category=category, path=path) for name, own in expected.items()
        } == expected
    assert read_params(path)["categories"] == {
        name: {section: {} for section in SECTIONS} for name in ("washer", "fabric")
    }
    text = path.read_text(encoding="utf-8")
    assert [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if "#" in line and line not in text] == []
