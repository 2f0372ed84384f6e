"""Synthetic defects have the published statistics and leave everything outside the mask alone."""

import pytest
import torch

from destseg.training.synthesis import FILL, Synthesis, SynthesisSettings, perlin_masks, seeded, turn

CPU = torch.device("cpu")


def synthesis(settings: SynthesisSettings, *, seed: int = 0, size: int = 64) -> Synthesis:
    images = torch.full((4, 3, size, size), 200, dtype=torch.uint8)
    textures = torch.full((3, 3, size, size), 20, dtype=torch.uint8)
    return Synthesis(images, textures, settings, seeded(seed, "test"))


def test_masks_cover_a_few_percent_and_some_are_empty() -> None:
    masks = perlin_masks(200, 128, SynthesisSettings(), seeded(0, "masks"), CPU)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    assert 0.03 < masks.mean().item() < 0.08
    empty = (masks.sum((1, 2, 3)) == 0).float().mean().item()
    assert 0 < empty < 0.15  # kept as they are: an image may show no defect


def test_finer_lattices_give_smaller_marks() -> None:
    def changes(scale: int) -> float:
        settings = SynthesisSettings(scale_min=scale, scale_max=scale)
        masks = perlin_masks(40, 128, settings, seeded(0, "masks"), CPU)
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


def test_images_are_not_turned_unless_asked() -> None:
    batch = synthesis(SynthesisSettings()).batch(8)
    assert torch.all(batch.normal == 200)


def test_turned_images_are_filled_with_grey() -> None:
    turned = turn(torch.full((1, 3, 64, 64), 200.0), torch.tensor([45.0]))
    assert turned[0, 0, 0, 0] == FILL
    assert turned[0, 0, 32, 32] == 200


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(quarters: int) -> None:
    images = torch.rand(1, 3, 32, 32) * 255
    turned = turn(images, torch.tensor([90.0 * quarters]))
    expected = [torch.rot90(images, k, (2, 3)) for k in (quarters, -quarters)]
    assert any(torch.allclose(turned, other, atol=1e-2) for other in expected)


def test_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    settings = SynthesisSettings(quarter_turns=True, max_degrees=5)
    first, again, other = (synthesis(settings, seed=seed).batch(8) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.mask, other.mask)


@pytest.mark.parametrize("wrong", [{"scale_min": 3, "scale_max": 2}, {"beta_max": 1.0}, {"max_degrees": -1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SynthesisSettings(**wrong)  # type: ignore[arg-type]
