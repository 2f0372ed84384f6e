"""Images that do not fit into memory lie in a file, and training draws the same batches from it."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from destseg import Error
from destseg.dataset import store
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.procedural import render
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

CPU = torch.device("cpu")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(found):
        Image.fromarray(render(number, 0, size=80, seed=0)).save(path)
    return found


def test_what_fits_is_held_in_memory(paths: list[Path], tmp_path: Path) -> None:
    images = store.stored(paths, ImageSettings(size=64), CPU, tmp_path)
    assert not store.mapped(images)
    assert torch.equal(images, load_all(paths, ImageSettings(size=64)))


def test_what_does_not_fit_is_mapped_from_a_file_that_leaves_no_name(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda _: 4 * 5 * 3 * 64 * 64 - 4)  # a quarter of it is a byte too little
    monkeypatch.setattr(store, "CHUNK", 2)
    before = sorted(tmp_path.iterdir())
    images = store.stored(paths, ImageSettings(size=64), CPU, tmp_path)
    assert store.mapped(images)
    assert torch.equal(images, load_all(paths, ImageSettings(size=64)))
    assert sorted(tmp_path.iterdir()) == before


def test_batches_from_a_file_are_those_from_memory(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(images: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
        textures = load_all(paths[:2], ImageSettings(size=64))
        source = Synthesis(images, textures, SynthesisSettings(flips="both", own_share=0.5), seeded(0, "x"))
        return [(*batch, state) for batch, state in source.batches(3, 4)]

    held = batches(store.stored(paths, ImageSettings(size=64), CPU, tmp_path))
    monkeypatch.setattr(store, "free_bytes", lambda _: 0)
    read = batches(store.stored(paths, ImageSettings(size=64), CPU, tmp_path))
    assert len(held) == len(read) == 4
    for one, other in zip(held, read, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_free_memory_is_asked_of_the_system_within_the_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CGROUP", tmp_path)
    assert 1e8 < store.free_bytes(CPU) < 1e14
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert store.free_bytes(CPU) > 1e8
    (tmp_path / "memory.max").write_text("5000\n")
    assert store.free_bytes(CPU) == 4000


def test_a_disk_without_room_is_an_error_that_names_it(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda _: 0)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "posix_fallocate", full)
    with pytest.raises(Error, match="of decoded images"):
        store.stored(paths, ImageSettings(size=64), CPU, tmp_path)
