"""A part is told from its background, and a texture has none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from destseg.training.part import parts
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

SIZE = 128


def disc() -> Tensor:
    """[S, S] bool, off the centre."""
    y, x = torch.meshgrid(*[torch.arange(float(SIZE))] * 2, indexing="ij")
    return (y - 70) ** 2 + (x - 55) ** 2 < 35**2


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, "noise"))


def photographs(background: Tensor, part: Tensor, count: int = 6) -> Tensor:
    """uint8 [N, 3, S, S] of a disc, with the noise of a camera and a light that changes from picture to picture."""
    pictures = torch.where(disc(), part, background) + 3 * noise(count, 3, SIZE, SIZE)
    light = torch.linspace(0.7, 1.1, count)[:, None, None, None]
    return (pictures * light).round().clamp(0, 255).to(torch.uint8)


def colour(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None]


@pytest.mark.parametrize(
    ("background", "part"),
    [
        (colour(180, 180, 180), colour(90, 90, 90)),
        (colour(5, 5, 5), colour(60, 60, 60)),
        (colour(200, 120, 60), colour(120, 120, 200)),
        (colour(120, 120, 120) + torch.linspace(-8, 8, SIZE), colour(190, 190, 190)),  # lit from one side
    ],
)
def test_a_part_is_told_from_its_background(background: Tensor, part: Tensor) -> None:
    found = parts(photographs(background, part))
    assert found is not None
    assert found.shape == (6, 1, SIZE // 4, SIZE // 4)
    truth = F.avg_pool2d(disc().float()[None, None], 4) > 0
    assert bool(found[:, truth[0]].all())
    assert float(found.float().mean()) < 1.5 * float(truth.float().mean())  # with a seam around it


def test_a_part_keeps_its_holes_and_all_its_tones() -> None:
    y, x = torch.meshgrid(*[torch.arange(float(SIZE))] * 2, indexing="ij")
    hole = (y - 70) ** 2 + (x - 55) ** 2 < 15**2
    label = ((y - 50).abs() < 6) & ((x - 55).abs() < 12)
    plate = torch.where(label, colour(20, 20, 20), colour(190, 190, 190))
    found = parts(photographs(colour(240, 240, 240), torch.where(hole, colour(240, 240, 240), plate)))
    assert found is not None
    whole = F.avg_pool2d(disc().float()[None, None], 4) > 0
    assert bool(found[:, whole[0]].all())
    assert not bool(found[:, :, :4].any())


def test_a_share_of_the_images_is_damaged_anywhere() -> None:
    images = photographs(colour(10, 10, 10), colour(150, 150, 150))
    textures = torch.full((2, 3, SIZE, SIZE), 250, dtype=torch.uint8)
    beside = {}
    for share in (0.0, 0.5, 1.0):
        batch = Synthesis(images, textures, SynthesisSettings(part_share=share), seeded(0, "test")).batch(200)
        off = batch.mask.bool() & (F.max_pool2d(batch.normal.amax(1, keepdim=True), 17, 1, 8) < 80)
        beside[share] = float(off.flatten(1).any(dim=1).float().mean())
    assert beside[1.0] == 0
    assert beside[0.5] == pytest.approx(beside[0.0] / 2, abs=0.1)


def grain(count: int) -> Tensor:
    coarse = 128 + 40 * noise(count, 1, 16, 16)
    return F.interpolate(coarse, (SIZE, SIZE), mode="bilinear").expand(count, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    "pictures",
    [
        grain,  # a texture
        lambda count: torch.full((count, 3, SIZE, SIZE), 90.0) + 3 * noise(count, 3, SIZE, SIZE),  # a bare sheet
        lambda count: torch.linspace(40, 220, SIZE).expand(count, 3, SIZE, SIZE),  # a curved one
    ],
)
def test_what_fills_the_picture_has_no_background(pictures: Callable[[int], Tensor]) -> None:
    assert parts(pictures(6).round().clamp(0, 255).to(torch.uint8)) is None


@pytest.mark.parametrize("crop", [None, 64])
def test_defects_stay_on_the_part(crop: int | None) -> None:
    images = photographs(colour(10, 10, 10), colour(150, 150, 150))
    textures = torch.full((2, 3, crop or SIZE, crop or SIZE), 250, dtype=torch.uint8)
    settings = SynthesisSettings(part_share=1.0, quarter_turns=True, flips="both", crop=crop)
    batch = Synthesis(images, textures, settings, seeded(0, "test")).batch(64)
    is_near = F.max_pool2d(batch.normal.amax(1, keepdim=True), 17, 1, 8) > 80
    strays = (batch.mask.bool() & ~is_near)[..., 8:-8, 8:-8]  # what is near the edge may be near a part beyond it
    assert batch.mask.sum() > 1000
    assert not bool(strays.any())
    changed = (batch.damaged != batch.normal).any(1, keepdim=True)
    assert not bool((changed & ~batch.mask.bool()).any())


def test_pictures_without_a_background_are_damaged_anywhere() -> None:
    images = grain(6).round().clamp(0, 255).to(torch.uint8)
    plain, asked = (
        Synthesis(images, images, SynthesisSettings(part_share=share), seeded(0, "test")).batch(8)
        for share in (0.0, 1.0)
    )
    assert torch.equal(plain.damaged, asked.damaged)
