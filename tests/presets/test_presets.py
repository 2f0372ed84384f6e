"""A preset is written into params.yaml, and another undoes it."""

import shutil
from pathlib import Path

import pytest
import yaml

from destseg import Error
from destseg.model.sources import TeacherSettings
from destseg.presets.listing import list_presets
from destseg.presets.preset import load, names, of
from destseg.presets.use import use
from destseg.settings import read_section
from destseg.training.memory import MemorySettings
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import SynthesisSettings

SHIPPED = Path(__file__).parents[2] / "params.yaml"
SETTINGS = {
    "teacher": TeacherSettings,
    "synthesis": SynthesisSettings,
    "student": StudentSettings,
    "segmentation": SegmentationSettings,
    "memory": MemorySettings,
}
CATEGORIES = """\
categories:
  bolt:
    image: {size: 128}   # a small part
    synthesis:
      grey: true  # no colour
    student: {}
    segmentation: {}
    memory: {}
  # not ours
  nut: {image: {}, synthesis: {}, student: {}, segmentation: {}, memory: {}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the params.yaml that is shipped, and comments beside what a preset changes."""
    text = SHIPPED.read_text(encoding="utf-8").replace("categories: {}\n", CATEGORIES)
    for line in ("  network: compact", "  lr_res: 0.002", "  source: efficientnet-lite0"):
        assert f"{line}\n" in text
        text = text.replace(f"{line}\n", f"{line}   # mine\n", 1)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def text_of(root: Path) -> str:
    return (root / "params.yaml").read_text(encoding="utf-8")


def overrides(root: Path, category: str) -> dict[str, dict[str, object]]:
    found = yaml.safe_load(text_of(root))["categories"][category]
    return {section: settings for section, settings in found.items() if settings}


def test_presets_name_the_same_settings_and_each_is_one() -> None:
    assert names() == ["compact", "paper"]
    shapes = [{section: list(own) for section, own in load(name).sections.items()} for name in names()]
    assert shapes[0] == shapes[1]
    for name in names():
        assert load(name).whom
        assert load(name).sections.keys() == SETTINGS.keys()
        for section, settings in SETTINGS.items():
            read_section(section, settings, path=load(name).path)  # an Error where one is not a setting


def test_one_preset_undoes_the_other_to_the_byte(root: Path) -> None:
    before = text_of(root)
    used = use("paper", root=root)
    assert {"student.network", "segmentation.width", "teacher.source"} <= set(used.changed)
    after = text_of(root)
    assert "network: paper   # mine" in after
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(changed) <= len(used.changed)
    assert [of(root=root), of("bolt", root=root)] == ["paper", "paper"]
    again = use("paper", root=root)
    assert (again.changed, again.retrained, text_of(root)) == ((), {}, after)
    assert "already" in str(again)
    use("compact", root=root)
    assert text_of(root) == before


def test_a_category_says_what_differs_from_the_top_level_alone(root: Path) -> None:
    before = text_of(root)
    for category in ("bolt", "nut"):
        used = use("paper", category, root)
        assert f"retrains {category} by it" in str(used)
        assert of(category, root=root) == "paper"
    assert of(root=root) == "compact"
    found, preset, top = overrides(root, "bolt"), load("paper").sections, load("compact").sections
    assert found.pop("image") == {"size": 128}
    assert found["synthesis"].pop("grey") is True
    assert found == {
        section: {name: value for name, value in own.items() if value != top[section][name]}
        for section, own in preset.items()
    }
    assert overrides(root, "nut") == found
    after = text_of(root)
    assert use("paper", "bolt", root).changed == ()
    assert text_of(root) == after
    for category in ("bolt", "nut"):
        use("compact", category, root)
    assert text_of(root).replace("    teacher: {}\n", "").replace(", teacher: {}", "") == before


def test_a_category_of_another_preset_keeps_it_when_the_top_level_changes(root: Path) -> None:
    use("compact", "nut", root)
    use("paper", "nut", root)
    used = use("paper", root=root)
    assert used.retrained == {"bolt": "paper", "nut": "paper"}
    used = use("compact", root=root)
    assert used.retrained == {"bolt": "compact", "nut": "paper"}
    assert "retrains all 2 categories: bolt by this preset, nut by what stands below categories" in str(used)


def test_a_setting_of_ones_own_is_no_presets(root: Path) -> None:
    path = root / "params.yaml"
    path.write_text(text_of(root).replace("student: {}", "student: {steps: 500}"), encoding="utf-8")
    assert (of("bolt", root=root), of("nut", root=root)) == ("own settings", "own settings")
    shown = list_presets(root)
    assert (shown.top_level, shown.categories) == ("compact", {"bolt": "own settings", "nut": "own settings"})
    assert list_presets(root / "nowhere").top_level is None


def test_what_params_yaml_does_not_say_is_the_papers_as_in_the_code(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("student: {weight_decay: 1e-4}\ncategories: {}\n")
    assert of(root=tmp_path) == "paper"
    assert "no category yet" in str(use("compact", root=tmp_path))
    assert of(root=tmp_path) == "compact"


def test_mistakes_are_one_sentence_and_change_nothing(root: Path) -> None:
    before = text_of(root)
    with pytest.raises(Error, match="preset 'papr' does not exist; expected one of compact, paper"):
        use("papr", root=root)
    with pytest.raises(Error, match=r"category 'gear' is not in .*params.yaml \(there: bolt, nut\)"):
        use("paper", "gear", root)
    assert text_of(root) == before
    shutil.copy(SHIPPED, root / "other.yaml")
    (root / "params.yaml").unlink()
    with pytest.raises(Error, match=r"params.yaml is not in"):
        use("paper", root=root)
