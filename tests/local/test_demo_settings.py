"""The demo trains what params.yaml ships, the preset `compact`, but for a few settings of its own."""

import shutil
from pathlib import Path

from destseg.dataset.catalogue import SECTIONS
from destseg.local.demo_settings import OVERRIDES, PRESET, DemoSettings, write_settings
from destseg.presets.preset import of
from destseg.settings import read_params

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def test_its_settings_are_the_presets_but_for_its_own(tmp_path: Path) -> None:
    shutil.copy(SHIPPED, tmp_path)
    (tmp_path / ".dvc").mkdir()
    write_settings(tmp_path, DemoSettings())
    path = tmp_path / "params.yaml"
    params = read_params(path)
    assert params.pop("categories") == {name: {section: {} for section in SECTIONS} for name in ("washer", "fabric")}
    expected = read_params(SHIPPED)
    for section, values in OVERRIDES.items():
        expected[section] |= values
    assert params == {name: section for name, section in expected.items() if name != "categories"}
    assert of(root=SHIPPED.parent) == PRESET == "compact"
    text = path.read_text(encoding="utf-8")
    assert [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if "#" in line and line not in text] == []
