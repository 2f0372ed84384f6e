"""What was seen in a file is not looked at twice, and nothing depends on its being remembered."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg.dataset import manifest as room
from destseg.dataset import remembered as memory
from destseg.dataset.images import ImageSettings
from destseg.dataset.manifest import manifest
from destseg.dataset.remembered import remembered

SETTINGS = ImageSettings(size=64)


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images and a mask, and an empty memory."""
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tile"
    for name in ("train/good/0", "train/good/1", "test/good/2", "test/dent/3"):
        save(folder / f"{name}.png", np.random.default_rng(int(name[-1])).integers(0, 250, (64, 64)))
    save(folder / "ground_truth/dent/3_mask.png", np.eye(64) * 255)
    (folder / "train/good/broken.png").write_bytes(b"GIF89a")
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes of what was decoded."""
    seen: list[str] = []
    original = room._decoded

    def counting(content: room.Content, *rest: object) -> room.Content:
        seen.append(content.sha256)
        return original(content, *rest)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(room, "_decoded", counting)
    return seen


def test_only_new_content_is_decoded(dataset: Path, decoded: list[str]) -> None:
    first = manifest(dataset, SETTINGS)
    assert len(decoded) == 6
    assert manifest(dataset, SETTINGS) == first
    assert len(decoded) == 6
    shutil.move(dataset / "train/good/0.png", dataset / "train/good/renamed.png")
    save(dataset / "train/good/1.png", np.random.default_rng(9).integers(0, 250, (64, 64)))
    manifest(dataset, SETTINGS)
    assert len(decoded) == 7


def test_settings_that_change_what_is_seen_are_seen_anew(dataset: Path, decoded: list[str]) -> None:
    manifest(dataset, SETTINGS)
    manifest(dataset, ImageSettings(size=128))  # masks are measured at the model's size
    assert len(decoded) == 6 + 1
    manifest(dataset, ImageSettings(size=64, bit_depth=12))
    assert len(decoded) == 6 + 1 + 5


@pytest.mark.parametrize("spoil", ["no database", "a folder", "read-only"])
def test_a_memory_that_cannot_be_used_changes_nothing(
    dataset: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = manifest(dataset, SETTINGS)
    (file,) = (dataset.parent / "cache").rglob("*.sqlite")
    file.unlink()
    if spoil == "no database":
        file.write_bytes(b"no database" * 1000)
    elif spoil == "a folder":
        file.mkdir()
    else:
        shutil.rmtree(file.parent)
        file.parent.write_text("a file where the folder should be")
    assert manifest(dataset, SETTINGS) == first
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "WARNING"


def test_one_that_takes_long_holds_up_no_other_and_is_not_lost_when_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(memory, "_UNCOMMITTED", 0.0)
    with remembered("x", Path(__file__)) as one, remembered("x", Path(__file__)) as other:
        one.put("a", {"v": 1})
        other.put("b", {"v": 2})
        assert (one.get("b"), other.get("a")) == ({"v": 2}, {"v": 1})


@pytest.mark.parametrize("damage", ['{"x": 1}', "7", '"s"', "{", "[]"])
def test_damaged_facts_are_seen_anew(dataset: Path, damage: str) -> None:
    first = manifest(dataset, SETTINGS)
    (file,) = (dataset.parent / "cache").rglob("*.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE facts SET facts = ?", (damage,))
    connection.close()
    assert manifest(dataset, SETTINGS) == first


def test_two_at_once_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    with remembered("x", Path(__file__)) as one, remembered("x", Path(__file__)) as other:
        one.put("a", {"v": 1})
        one.commit()
        other.put("b", {"v": 2})
        other.commit()
        assert (one.get("b"), other.get("a"), one.get("c")) == ({"v": 2}, {"v": 1}, None)
