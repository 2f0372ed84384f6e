"""The benchmark's products are datasets, its parts add up to the map, and docs/quality.md shows what was recorded."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import painted, parts, worlds
from destseg import Error
from destseg.dataset.layout import samples
from destseg.training.memory import MemorySettings, remember
from destseg.training.synthesis import seeded

from ..compact import untrained

GUIDE = Path(__file__).parents[2] / "docs" / "quality.md"


def test_the_guide_shows_what_was_recorded() -> None:
    records = json.loads(parts.RESULTS.read_text(encoding="utf-8"))
    assert records
    assert parts.table(records) in GUIDE.read_text(encoding="utf-8")


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
    assert list(found) == list(parts.PARTS)
    whole = torch.nn.functional.interpolate(found["sum"], (64, 64), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(whole, maps, atol=1e-5)
    assert not torch.equal(found["sum"], found["segmentation net"])
    assert network.memory.weights.tolist() == pytest.approx([settings.weight, settings.dest_weight])
