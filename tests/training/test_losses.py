"""Losses against values computed by hand."""

import math

import pytest
import torch

from destseg.training.losses import focal_loss, l1_loss, quarter_mask, student_loss


def test_student_loss_of_equal_maps_is_zero() -> None:
    maps = (torch.randn(2, 8, 4, 4), torch.randn(2, 16, 2, 2))
    torch.testing.assert_close(student_loss(maps, maps), torch.zeros(2), atol=1e-5, rtol=0)


def test_student_loss_sums_over_levels_and_averages_over_places() -> None:
    teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, 4, 4)
    student = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).repeat(2, 1, 4, 4)  # cosine 0.6
    student[1] = -teacher[1]
    student[1, :, 0, 0] = torch.tensor([0.0, 7.0])  # one of 16 places
    expected = [2 * 0.4, 2 * (15 * 2 + 1 * 1) / 16]
    torch.testing.assert_close(student_loss((teacher, teacher), (student, student)), torch.tensor(expected))


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
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_mask_at_a_quarter_is_one_where_half_of_the_middle_of_its_pixels_is() -> None:
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4, :4] = 1  # all of the first
    mask[..., 1:3, 5] = 1  # two of the four pixels that bilinear resizing looks at: exactly 0.5
    mask[..., 9, 9] = 1  # one of the four
    mask[..., 12, :] = 1  # four of 16, none in the middle
    small = quarter_mask(mask)
    assert small.shape == (1, 1, 4, 4)
    assert small.nonzero().tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]
