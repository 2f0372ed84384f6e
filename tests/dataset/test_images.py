"""One preprocessing: what comes out of a file is exact, and what cannot be used says why."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg.dataset import images
from destseg.dataset.images import ImageError, ImageSettings, decode, load, load_all, load_mask


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
