"""Losses against values computed by hand."""

import math

import pytest
import torch

from destseg.training.losses import focal_loss, l1_loss, quarter_mask, student_loss


def test_student_loss_of_equal_maps_is_zero() -> None:
    maps = (torch.randn(2, 8, 4, 4), torch.randn(2, 16, 2, 2))
    assert student_loss(maps, maps).item() == pytest.approx(0, abs=1e-5)


def test_student_loss_sums_over_levels_and_images_and_averages_over_places() -> None:
    teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(3, 2, 4, 4)
    opposite = -teacher
    orthogonal = torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(3, 2, 4, 4)
    assert student_loss((teacher, teacher), (opposite, orthogonal)).item() == pytest.approx(3 * 2 + 3 * 1)


def test_focal_loss_weighs_each_pixel_by_its_error_to_the_fourth() -> None:
    logit = math.log(0.9 / 0.1)  # p = 0.9
    logits = torch.tensor([[logit, logit]])
    mask = torch.tensor([[1.0, 0.0]])
    expected = (0.1**4 * -math.log(0.9) + 0.9**4 * -math.log(0.1)) / 2
    assert focal_loss(logits, mask).item() == pytest.approx(expected, rel=1e-5)


def test_l1_loss_is_the_mean_distance_of_probability_and_mask() -> None:
    logits = torch.tensor([[0.0, math.log(0.9 / 0.1)]])
    assert l1_loss(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx((0.5 + 0.9) / 2)


def test_losses_of_extreme_logits_are_finite_with_finite_gradients() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[0.0, 1.0]])) + l1_loss(logits, torch.tensor([[0.0, 1.0]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_mask_at_a_quarter_keeps_what_is_at_least_half_covered() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4, :4] = 1
    small = quarter_mask(mask)
    assert small.shape == (1, 1, 4, 4)
    assert small[0, 0, 0, 0] == 1
    assert small.sum() == 1
