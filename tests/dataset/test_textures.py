"""Where the textures of synthetic defects come from, and what the procedural ones promise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from destseg import Error
from destseg.dataset.procedural import render
from destseg.dataset.procedural.noise import cells, fractal, perlin, turned
from destseg.dataset.procedural.texture import FAMILIES
from destseg.dataset.textures import TextureSettings, load


def grid(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x, y


def test_builtin_textures_are_uint8_images_of_the_size_asked_for():
    found = load(TextureSettings(count=5), 64, seed=0)
    assert found.shape == (5, 3, 64, 64)
    assert found.dtype == torch.uint8


def test_builtin_textures_depend_on_the_seed_alone():
    settings = TextureSettings(count=4)
    assert torch.equal(load(settings, 64, seed=3), load(settings, 64, seed=3))
    assert not torch.equal(load(settings, 64, seed=3), load(settings, 64, seed=4))


def test_more_textures_begin_with_the_same_ones():
    few, many = load(TextureSettings(count=2), 64, seed=0), load(TextureSettings(count=4), 64, seed=0)
    assert torch.equal(few, many[:2])


def test_two_photographs_of_one_texture_differ():
    assert not np.array_equal(render(1, 0, size=64, seed=0), render(1, 1, size=64, seed=0))


def test_photographs_of_one_texture_are_more_alike_than_those_of_two():
    def histogram(number: int, index: int) -> np.ndarray:
        grey = render(number, index, size=64, seed=0).mean(axis=2)
        down, across = np.gradient(grey)
        return np.array([grey.mean(), grey.std(), np.abs(down).mean() * 4, np.abs(across).mean() * 4])

    described = np.array([[histogram(number, index) for index in range(2)] for number in range(40)])
    within = np.abs(described[:, 0] - described[:, 1]).sum(axis=1).mean()
    between = np.abs(described[:, 0] - np.roll(described[:, 1], 1, axis=0)).sum(axis=1).mean()
    assert within < 0.7 * between


def test_most_textures_show_structure():
    deviations = [render(number, 0, size=64, seed=1).std() for number in range(40)]
    assert np.median(deviations) > 10


@pytest.mark.parametrize("family", sorted(set(FAMILIES), key=lambda family: family.__name__))
def test_every_family_gives_finite_heights_that_vary(family):
    x, y = grid()
    heights = [family(np.random.default_rng(seed))(x, y, np.random.default_rng(seed)) for seed in range(8)]
    assert all(np.issubdtype(height.dtype, np.floating) and height.shape == x.shape for height in heights)
    assert all(np.isfinite(height).all() for height in heights)
    assert np.mean([height.std() for height in heights]) > 0.05


def test_noise_is_one_endless_field():
    x, y = grid()
    whole = perlin(x / 9, y / 9, 5)
    window = perlin((x + 10) / 9, (y + 20) / 9, 5)
    np.testing.assert_allclose(whole[20:, 10:], window[:-20, :-10], atol=1e-5)


def test_fractal_noise_stays_between_0_and_1():
    x, y = grid()
    for kind in ("plain", "turbulence", "ridged"):
        values = fractal(x / 7, y / 7, 1, kind=kind)
        assert values.min() >= 0
        assert values.max() <= 1


def test_the_nearest_cell_is_nearer_than_the_second():
    x, y = grid()
    for power in (1, 2, 9):
        first, second, _ = cells(x / 8, y / 8, 2, power=power)
        assert (first <= second).all()
        assert first.min() >= 0


def test_turning_keeps_distances():
    x, y = grid()
    u, v = turned(x, y, 0.7)
    np.testing.assert_allclose(u * u + v * v, x * x + y * y, rtol=1e-4, atol=1e-3)


def test_a_folder_is_read_in_depth_and_in_order(tmp_path: Path):
    (tmp_path / "banded").mkdir()
    Image.new("RGB", (30, 50), (0, 255, 0)).save(tmp_path / "banded" / "b.png")
    Image.new("RGB", (80, 20), (255, 0, 0)).save(tmp_path / "a.jpg")
    (tmp_path / "labels.txt").write_text("not an image")
    found = load(TextureSettings(source="folder", path=str(tmp_path)), 64, seed=0)
    assert found.shape == (2, 3, 64, 64)
    assert found[0, 0].min() > 250  # a.jpg, red
    assert found[1, 1].min() == 255  # banded/b.png, green


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(Error, match="missing is not a folder"):
        load(TextureSettings(source="folder", path=str(tmp_path / "missing")), 64, seed=0)


def test_a_folder_without_images_is_an_error(tmp_path: Path):
    with pytest.raises(Error, match="no image below"):
        load(TextureSettings(source="folder", path=str(tmp_path)), 64, seed=0)


def test_a_broken_image_in_the_folder_is_named(tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(Error, match=r"broken\.png"):
        load(TextureSettings(source="folder", path=str(tmp_path)), 64, seed=0)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="path is not set"):
        TextureSettings(source="folder")
    with pytest.raises(ValueError, match="count is 0"):
        TextureSettings(count=0)
