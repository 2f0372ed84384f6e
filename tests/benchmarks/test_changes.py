"""The benchmark's products are datasets, its parts add up to the map, and docs/quality.md shows what was recorded."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import changes, curves, opponents, painted, parts, patches, worlds
from benchmarks.changes import SHIPPED
from destseg import Error
from destseg.dataset.layout import samples
from destseg.training.memory import MemorySettings, remember
from destseg.training.synthesis import seeded

from ..compact import untrained

GUIDE = Path(__file__).parents[2] / "docs" / "quality.md"


def test_the_guide_shows_what_was_recorded() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    records = json.loads(changes.RESULTS.read_text(encoding="utf-8"))
    assert records
    assert changes.parts_table(records) in guide
    assert changes.changes_table(records) in guide
    others = json.loads(opponents.RESULTS.read_text(encoding="utf-8"))
    assert others
    assert opponents.table(others) in guide
    assert patches.table(json.loads(patches.RESULTS.read_text(encoding="utf-8"))) in guide
    assert curves.PICTURE.read_text(encoding="utf-8") == curves.picture(records)


def test_opponents_were_of_the_versions_that_are_pinned() -> None:
    pins = (Path(opponents.__file__).with_name("anomalib.txt")).read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in pins if "==" in line)
    for record in json.loads(opponents.RESULTS.read_text(encoding="utf-8")):
        versions = {name: version.split("+")[0] for name, version in record["versions"].items()}
        assert versions.items() <= pinned.items()


@pytest.mark.parametrize("world", list(worlds.SETTINGS))
def test_each_change_of_the_plan_sets_something_else_on_some_product(world: str) -> None:
    plan = changes.planned()
    settings = {name: changes.recorded(changes.parameters(world, 0, change)) for name, change in plan.items()}
    alike = [name for name in plan if name != SHIPPED and settings[name] == settings[SHIPPED]]
    assert alike == []
    for one in settings.values():
        assert {name: set(section) for name, section in one.items()} == {
            name: set(section) for name, section in settings[SHIPPED].items()
        }


def test_a_change_starts_at_the_first_stage_that_it_touches() -> None:
    first = changes.first_stage
    assert first({"memory": {"patches": 0}}) == "memory"
    assert first({"memory": {"patches": 0}, "segmentation": {"width": 32}}) == "segmentation"
    assert first({"synthesis": {}}) == "student"
    assert first({"teacher": {}, "student": {}}) == "teacher fetch"
    assert first({"image": {"size": 128}}) == "validate"


def test_changes_start_from_what_is_as_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("NORMALS", 24), ("TEST_NORMALS", 3), ("DEFECTS", 1)):
        monkeypatch.setattr(painted, name, count)
    tiny: changes.Settings = {
        "texture": {"count": 4},
        "student": {"steps": 1, "precision": "float32"},
        "segmentation": {"steps": 1, "width": 8, "precision": "float32"},
        "memory": {"patches": 20},
    }
    monkeypatch.setitem(worlds.SETTINGS, "brick", {**worlds.SETTINGS["brick"], **tiny})
    plan: dict[str, changes.Settings] = {SHIPPED: {}, "no memory": {"memory": {"patches": 0}}}
    shipped, without = changes.measure("brick", 0, plan, tmp_path, threads=1)
    assert (shipped["from"], without["from"]) == ("validate", "memory")
    assert set(shipped["parts"]) == set(changes.PARTS)
    assert without["parts"]["sum"] == without["parts"]["segmentation net"] == shipped["parts"]["segmentation net"]
    assert without["parts"]["DeST"] == shipped["parts"]["DeST"]
    assert without["settings"] == shipped["settings"] | {"memory": {**shipped["settings"]["memory"], "patches": 0}}
    assert f"{shipped['parts']['sum']['pixel_ap']:.3f}" in changes.changes_table([shipped])


def test_products_are_written_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painted, "NORMALS", 3)
    worlds.write("brick", tmp_path / "brick", tmp_path)
    assert {sample.kind for sample in samples(tmp_path / "brick", "test")} == {"good", *painted.KINDS}
    worlds.write("screw", tmp_path / "screw", tmp_path_with(tmp_path, "screw"))
    assert (tmp_path / "screw/train/good/000.png").is_file()
    with pytest.raises(Error, match=r"magnetic_tile has no train/good; expected a category in MVTec's layout"):
        worlds.write("magnetic_tile", tmp_path / "tiles", tmp_path)


def tmp_path_with(folder: Path, category: str) -> Path:
    """A folder with one photographed category in it."""
    place = folder / "given" / category / "train" / "good"
    place.mkdir(parents=True)
    (place / "000.png").write_bytes((folder / "brick/train/good/000.png").read_bytes())
    return folder / "given"


def test_the_parts_are_those_of_the_map() -> None:
    network = untrained("compact").eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), generator=seeded(0, "images"), dtype=torch.uint8)
    settings = MemorySettings(patches=100)
    network.memory = remember(network.teacher, network.student, images, settings, seeded(0, "memory"))
    with torch.inference_mode():
        found = parts.by_part(network, images)
        _, maps = network(images)
    assert set(found) == set(changes.PARTS)
    whole = torch.nn.functional.interpolate(found["sum"], (64, 64), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(whole, maps, atol=1e-5)
    assert not torch.equal(found["sum"], found["segmentation net"])
    assert network.memory.log_weights.tolist() == pytest.approx([settings.weight, settings.dest_weight])
