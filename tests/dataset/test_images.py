"""One preprocessing: what comes out of a file is exact, and what cannot be used says why."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from destseg.dataset import images
from destseg.dataset.images import ImageError, ImageSettings, batches, decode, load, load_all, load_mask


def saved(path: Path, values: np.ndarray, **options: object) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    path = saved(tmp_path / "grey.png", np.full((10, 20), 77, np.uint8))
    assert decode(path).mode == "RGB"
    assert np.asarray(decode(path)).tolist() == np.full((10, 20, 3), 77).tolist()


def test_sixteen_bits_are_scaled_by_the_declared_depth_not_by_the_image(tmp_path: Path) -> None:
    path = saved(tmp_path / "deep.png", np.array([[0, 2048, 4095]], np.uint16))
    assert np.asarray(decode(path, bit_depth=12))[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ImageError, match=r"values from 0 to 4095, expected 0 to 1023; set image\.bit_depth"):
        decode(path, bit_depth=10)


def test_camera_orientation_is_applied(tmp_path: Path) -> None:
    values = np.zeros((8, 16, 3), np.uint8)
    values[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise
    path = saved(tmp_path / "turned.jpg", values, exif=exif, quality=100)
    upright = np.asarray(decode(path))
    assert upright.shape == (16, 8, 3)
    assert upright[:6].mean() > 250
    assert upright[-6:].mean() < 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "CMYK"])
def test_transparency_and_print_colours_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    Image.new(mode, (8, 8)).save(path)
    with pytest.raises(ImageError, match=f"colour mode {mode}, expected grey or RGB"):
        decode(path)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"hello"):
        with pytest.raises(ImageError, match="cannot be decoded"):
            decode(content)
    with pytest.raises(ImageError, match="does not exist"):
        decode(tmp_path / "nowhere.png")


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    path = saved(tmp_path / "large.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(ImageError, match="40x40 pixels, expected at most 1,000"):
        decode(path)


def test_images_are_resized_to_the_square_the_model_sees(tmp_path: Path) -> None:
    path = saved(tmp_path / "wide.png", np.tile(np.arange(200, dtype=np.uint8), (50, 1)))
    settings = ImageSettings(size=64)
    assert load(path, settings).shape == (64, 64, 3)
    stacked = load_all([path, path.read_bytes()], settings)
    assert stacked.shape == (2, 3, 64, 64)
    assert (stacked[0] == stacked[1]).all()


def test_masks_are_resized_then_cut_at_one_half(tmp_path: Path) -> None:
    values = np.zeros((128, 128), np.uint8)
    values[:, :64] = 255
    mask = load_mask(saved(tmp_path / "mask.png", values), 64)
    assert mask.dtype == bool
    assert mask[:, :32].all()
    assert not mask[:, 33:].any()


@pytest.mark.parametrize(("size", "depth"), [(100, 8), (32, 8), (256, 7), (256, 17)])
def test_settings_out_of_range_are_refused(size: int, depth: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        ImageSettings(size=size, bit_depth=depth)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Seven, each of a grey level of its own."""
    return [saved(tmp_path / f"{level}.png", np.full((64, 64), level, np.uint8)) for level in range(7)]


SMALL = ImageSettings(size=64)


def levels(batch: torch.Tensor) -> list[int]:
    return batch[:, 0, 0, 0].tolist()


def test_batches_hold_every_photograph_in_order(photographs: list[Path]) -> None:
    assert [levels(batch) for batch in batches(iter(photographs), SMALL, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], SMALL, 3)) == []


def test_the_next_batch_is_decoded_while_the_caller_has_one_and_no_more_is_read(photographs: list[Path]) -> None:
    asked: list[Path] = []
    ahead = threading.Event()

    def camera() -> Iterator[Path]:
        for path in itertools.cycle(photographs):
            asked.append(path)
            if len(asked) == 4:
                ahead.set()
            yield path

    found = batches(camera(), SMALL, 2)
    assert asked == []
    assert levels(next(found)) == [0, 1]
    assert ahead.wait(20), "the second batch was not read before it was asked for"
    time.sleep(0.1)  # for a reader that goes on
    assert len(asked) == 4
    assert levels(next(found)) == [2, 3]
    found.close()
    assert len(asked) <= 6


@pytest.mark.parametrize("error", [ImageError, KeyError])
def test_an_error_comes_after_the_batches_before_it(photographs: list[Path], error: type[Exception]) -> None:
    def sources() -> Iterator[Path]:
        yield from photographs[:5]
        if error is KeyError:
            raise KeyError("the camera's own")
        yield photographs[0].with_name("nowhere.png")

    found = batches(sources(), SMALL, 2)
    assert [levels(next(found)), levels(next(found))] == [[0, 1], [2, 3]]
    with pytest.raises(error):
        next(found)
    assert list(found) == []


def test_no_thread_is_left_when_the_caller_stops(photographs: list[Path]) -> None:
    before = set(threading.enumerate())
    found = batches(itertools.cycle(photographs), SMALL, 2)
    next(found)
    assert set(threading.enumerate()) - before
    found.close()
    assert not set(threading.enumerate()) - before
    with pytest.raises(ImageError):
        list(batches([*photographs, photographs[0].with_name("nowhere.png")], SMALL, 2))
    assert not set(threading.enumerate()) - before
