"""Synthetic defects have the published statistics and leave everything outside the mask alone."""

import numpy as np
import pytest
import torch

from destseg.training.perlin import draw_noise, perlin_masks
from destseg.training.synthesis import FILL, Batch, Synthesis, SynthesisSettings, seeded, turn

CPU = torch.device("cpu")


def synthesis(settings: SynthesisSettings, *, seed: int = 0, size: int = 64) -> Synthesis:
    images = torch.full((4, 3, size, size), 200, dtype=torch.uint8)
    textures = torch.full((3, 3, size, size), 20, dtype=torch.uint8)
    return Synthesis(images, textures, settings, seeded(seed, "test"))


def masks_of(count: int, size: int, settings: SynthesisSettings) -> torch.Tensor:
    noise = draw_noise(count, settings.scale_min, settings.scale_max, seeded(0, "masks"))
    return perlin_masks(noise, size, settings.mask_threshold, CPU)


def test_masks_cover_a_few_percent_and_some_are_empty() -> None:
    masks = masks_of(200, 128, SynthesisSettings())
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert 0.03 < masks.mean().item() < 0.08
    empty = (masks.sum((1, 2, 3)) == 0).float().mean().item()
    assert 0 < empty < 0.15  # kept as they are: an image may show no defect


def test_finer_lattices_give_smaller_marks() -> None:
    def changes(scale: int) -> float:
        settings = SynthesisSettings(scale_min=scale, scale_max=scale)
        masks = masks_of(40, 128, settings)
        return (masks[..., 1:] != masks[..., :-1]).float().mean().item() / masks.mean().item()

    assert changes(5) > 3 * changes(2)


def test_nothing_outside_the_mask_is_touched() -> None:
    batch = synthesis(SynthesisSettings()).batch(16)
    outside = (batch.mask == 0).expand_as(batch.normal)
    assert torch.equal(batch.damaged[outside], batch.normal[outside])


def test_weight_of_the_texture_lies_between_a_fifth_and_one() -> None:
    batch = synthesis(SynthesisSettings()).batch(64)
    inside = (batch.mask == 1).expand_as(batch.normal)
    weight = (200 - batch.damaged[inside]) / (200 - 20)
    assert 0.2 - 1e-5 <= weight.min() < 0.3
    assert 0.9 < weight.max() <= 1 + 1e-5


def test_weight_of_the_texture_is_even_and_one_for_each_image() -> None:
    batch = synthesis(SynthesisSettings()).batch(600)
    weights = []
    for normal, damaged, mask in zip(batch.normal, batch.damaged, batch.mask, strict=True):
        inside = ((normal - damaged) / (200 - 20))[mask.expand_as(normal) == 1]
        if inside.numel():
            assert inside.max() - inside.min() < 1e-5
            weights.append(float(inside[0]))
    counts, _ = np.histogram(weights, bins=4, range=(0.2, 1.0))
    assert counts.min() > 0.7 * len(weights) / 4


def test_lattices_are_drawn_apart_for_each_axis() -> None:
    """As often as not an image's marks are longer one way than the other by a factor of two and more."""
    masks = masks_of(300, 64, SynthesisSettings())[:, 0]
    down, across = masks.diff(dim=1).abs().sum((1, 2)) + 1, masks.diff(dim=2).abs().sum((1, 2)) + 1
    ratio = torch.maximum(down / across, across / down)[masks.sum((1, 2)) > 20]
    assert (ratio > 1.5).float().mean() > 0.2
    square = masks_of(300, 64, SynthesisSettings(scale_min=3, scale_max=3))[:, 0]
    down, across = square.diff(dim=1).abs().sum((1, 2)) + 1, square.diff(dim=2).abs().sum((1, 2)) + 1
    assert (torch.maximum(down / across, across / down) > 1.5).float().mean() < 0.1


def test_a_higher_threshold_leaves_smaller_marks() -> None:
    areas = [masks_of(100, 64, SynthesisSettings(mask_threshold=level)).mean().item() for level in (0.3, 0.5, 0.7)]
    assert areas[0] > 2 * areas[1] > 4 * areas[2]


def test_images_are_not_turned_unless_asked() -> None:
    batch = synthesis(SynthesisSettings()).batch(8)
    assert torch.all(batch.normal == 200)


def test_turned_images_are_filled_with_grey() -> None:
    turned = turn(torch.full((1, 3, 64, 64), 200.0), torch.tensor([45.0]))
    assert FILL == 114
    assert turned[0, :, 0, 0].tolist() == [114.0, 114.0, 114.0]
    assert turned[0, 0, 32, 32] == 200


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(quarters: int) -> None:
    images = torch.rand(1, 3, 32, 32) * 255
    turned = turn(images, torch.tensor([90.0 * quarters]))
    expected = [torch.rot90(images, k, (2, 3)) for k in (quarters, -quarters)]
    assert any(torch.allclose(turned, other, atol=1e-2) for other in expected)


def angles_of(settings: SynthesisSettings) -> torch.Tensor:
    """Of 400 images, in whole degrees: where the bright spot, right of the centre, was turned to."""
    image = torch.zeros(1, 3, 129, 129, dtype=torch.uint8)
    image[..., 62:67, 112:117] = 255
    batch = Synthesis(image, image, settings, seeded(0, "test")).batch(400)
    spot = (batch.normal[:, 0] - FILL).clamp(min=60) - 60
    y, x = torch.meshgrid(*[torch.arange(129.0) - 64] * 2, indexing="ij")
    weight = spot / spot.sum((1, 2), keepdim=True)
    return torch.rad2deg(torch.atan2((weight * y).sum((1, 2)), (weight * x).sum((1, 2))))


def test_turns_are_even_up_to_the_angle_that_is_asked_for() -> None:
    angles = angles_of(SynthesisSettings(max_degrees=5))
    assert angles.abs().max() < 5.3
    assert 2.5 < angles.std() < 3.3  # of U(-5, 5): 2.9
    assert abs(angles.mean()) < 0.5


def test_quarter_turns_are_equally_frequent_and_turned_a_little_more() -> None:
    angles = angles_of(SynthesisSettings(quarter_turns=True, max_degrees=5))
    quarters = torch.round(angles / 90)
    assert (angles - 90 * quarters).abs().max() < 5.3
    assert 2.5 < (angles - 90 * quarters).std() < 3.3
    assert ((quarters % 4).long().bincount(minlength=4) > 70).all()


def test_masks_are_turned_all_ways() -> None:
    """Unturned, long marks would run along the axes; turned by U(-90, 90) degrees, as often along any direction."""
    masks = masks_of(600, 64, SynthesisSettings())
    smooth = torch.nn.functional.avg_pool2d(masks, 5, stride=1)[:, 0]
    across, down = smooth.diff(dim=2)[:, 1:], smooth.diff(dim=1)[:, :, 1:]
    difference = (across**2 - down**2).sum((1, 2))
    mixed = 2 * (across * down).sum((1, 2))
    power = (across**2 + down**2).sum((1, 2)).clamp(min=1e-9)
    long = torch.hypot(difference, mixed) / power > 0.5
    assert long.sum() > 100
    twice = torch.atan2(mixed, difference)[long]  # the direction of the marks, doubled: 0 or pi along the axes
    assert 0.5 < torch.sin(twice).abs().mean() < 0.8  # of all directions alike: 2 / pi
    assert abs(torch.sin(2 * twice).mean()) < 0.2


def test_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    settings = SynthesisSettings(quarter_turns=True, max_degrees=5)
    first, again, other = (synthesis(settings, seed=seed).batch(8) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.mask, other.mask)


def ramps(size: int = 128) -> torch.Tensor:
    """One image whose red rises to the right and whose green rises downwards, two levels a pixel."""
    axis = torch.arange(size)
    return torch.stack([axis.expand(size, size), axis[:, None].expand(size, size), torch.zeros(size, size)])[None].to(
        torch.uint8
    )


def drawn(settings: SynthesisSettings, count: int = 64) -> Batch:
    side = settings.crop or 128
    colours = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(2, 3, side, side)
    return Synthesis(ramps(), colours, settings, seeded(0, "test")).batch(count)


def test_crops_are_places_of_the_image_at_its_own_scale() -> None:
    batch = drawn(SynthesisSettings(crop=64))
    assert batch.normal.shape == batch.damaged.shape == (64, 3, 64, 64)
    assert batch.mask.shape == (64, 1, 64, 64)
    corners = batch.normal[:, :2, 0, 0]
    assert torch.equal(batch.normal[:, :2, -1, -1], corners + 63)
    assert corners.min() < 8
    assert corners.max() > 56
    assert len(corners.unique(dim=0)) > 30


@pytest.mark.parametrize(
    ("flips", "seen"),
    [
        ("none", {(0, 0)}),
        ("horizontal", {(0, 0), (127, 0)}),
        ("vertical", {(0, 0), (0, 127)}),
        ("both", {(0, 0), (127, 0), (0, 127), (127, 127)}),
    ],
)
def test_flips_are_those_that_were_asked_for(flips: str, seen: set[tuple[int, int]]) -> None:
    batch = drawn(SynthesisSettings(flips=flips))
    assert {(int(red), int(green)) for red, green in batch.normal[:, :2, 0, 0]} == seen


def test_grey_textures_have_the_luminance_of_their_colours() -> None:
    batch = drawn(SynthesisSettings(grey=True, beta_max=0.0))
    inside = batch.damaged.permute(0, 2, 3, 1)[batch.mask[:, 0] == 1]
    assert torch.all(inside == round(255 * 0.299))


def test_own_filling_is_the_product_itself_darkened_or_lit() -> None:
    batch = drawn(SynthesisSettings(own_share=1.0, beta_max=0.0))
    inside = batch.damaged.permute(0, 2, 3, 1)[batch.mask[:, 0] == 1]
    assert inside[:, 2].max() < 0.01  # the image has no blue, and its red is no texture's
    assert inside[:, 0].max() > 130  # lit: the image's own red ends at 127
    assert inside[:, 0].max() <= 255
    assert not torch.all(inside[:, 0] == 255)


def test_own_filling_takes_its_share_of_the_images() -> None:
    batch = drawn(SynthesisSettings(own_share=0.25, beta_max=0.0), count=400)
    marked = batch.mask[:, 0].flatten(1).any(dim=1)
    textured = ((batch.damaged[:, 0] == 255) & (batch.damaged[:, 1] == 0) & (batch.mask[:, 0] == 1)).flatten(1).any(1)
    assert 0.68 < (textured[marked].float().mean()) < 0.85


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale_min": 3, "scale_max": 2},
        {"beta_max": 1.0},
        {"max_degrees": -1.0},
        {"crop": 100},
        {"crop": 32},
        {"own_share": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SynthesisSettings(**wrong)
