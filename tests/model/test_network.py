"""The network is the published one: its size, its maps, its scores."""

import pytest
import torch
from torch import nn

from destseg.model.network import DeSTSeg, image_scores
from destseg.model.similarity import similarities
from destseg.model.student import Student
from destseg.model.teacher import Teacher, normalise


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_each_part_has_the_published_number_of_parameters() -> None:
    network = DeSTSeg()
    assert parameters(network.teacher) == 2_782_784
    assert parameters(network.student.encoder) == 11_176_512
    assert parameters(network.student) == 24_665_024
    assert parameters(network.segmentation) == 7_706_369


def test_student_maps_have_the_shape_of_the_teachers() -> None:
    images = torch.randn(2, 3, 64, 64)
    shapes = [tuple(level.shape) for level in Teacher()(images)]
    assert shapes == [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4)]
    assert [tuple(level.shape) for level in Student()(images)] == shapes


def test_teacher_never_leaves_evaluation_and_has_no_gradients() -> None:
    network = DeSTSeg(8).train()
    assert not any(module.training for module in network.teacher.modules())
    assert not any(p.requires_grad for p in network.teacher.parameters())
    before = network.teacher.bn1.running_mean.clone()
    network.teacher(torch.randn(4, 3, 64, 64) + 3)
    assert torch.equal(network.teacher.bn1.running_mean, before)


def test_equal_maps_give_similarities_that_sum_to_minus_one_at_each_level() -> None:
    levels = Teacher()(torch.randn(1, 3, 64, 64))
    found = similarities(levels, levels)
    assert found.shape == (1, 448, 16, 16)
    for part in found.split([64, 128, 256], dim=1):
        torch.testing.assert_close(part.sum(dim=1), torch.full((1, 16, 16), -1.0), atol=1e-5, rtol=0)


def test_score_is_the_mean_of_the_hundred_highest_pixels_at_256() -> None:
    maps = torch.zeros(1, 256, 256)
    maps[0, :10, :10] = torch.linspace(0.5, 1, 100).view(10, 10)
    maps[0, 20, 20] = 0.4  # the 101st
    assert image_scores(maps).item() == pytest.approx(0.75)


@pytest.mark.parametrize(("size", "pixels"), [(128, 25), (512, 400)])
def test_score_takes_the_same_share_of_the_pixels_at_other_sizes(size: int, pixels: int) -> None:
    maps = torch.zeros(1, size, size)
    maps.view(-1)[:pixels] = 1
    assert image_scores(maps).item() == 1
    maps.view(-1)[0] = 0
    assert image_scores(maps).item() == pytest.approx((pixels - 1) / pixels)


def test_photographs_become_maps_of_their_own_size_between_zero_and_one() -> None:
    network = DeSTSeg(8).eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        scores, maps = network(images)
        _, dest_maps = network.dest(images)
    assert scores.shape == (3,)
    assert maps.shape == dest_maps.shape == (3, 64, 64)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert dest_maps.min() >= 0
    assert dest_maps.max() <= 8  # three factors of 1 - cos, each at most 2


def test_mean_colour_of_imagenet_is_normalised_to_zero() -> None:
    images = torch.tensor([0.485, 0.456, 0.406]).mul(255).view(1, 3, 1, 1)
    torch.testing.assert_close(normalise(images), torch.zeros(1, 3, 1, 1), atol=1e-5, rtol=0)
