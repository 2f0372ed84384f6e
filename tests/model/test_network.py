"""The network is the published one: its size, its maps, its scores."""

import math
from typing import get_args

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from destseg.model.network import DeSTSeg, dest, image_scores
from destseg.model.resnet18 import ResNet18
from destseg.model.segmentation import ASPP, Segmentation
from destseg.model.similarity import Inputs, similarities
from destseg.model.student import Student
from destseg.model.teacher import new_teacher


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_each_part_has_the_published_number_of_parameters() -> None:
    network = DeSTSeg()
    decoder = [part for name, part in network.student.named_children() if name.startswith("decoder")]
    assert parameters(network.teacher) == 2_782_784
    assert parameters(network.student.encoder) == 11_176_512
    assert sum(map(parameters, decoder)) == 13_488_512
    assert parameters(network.student) == 24_665_024
    assert network.segmentation is not None
    assert parameters(network.segmentation) == 7_706_369
    assert parameters(network) == 2_782_784 + 24_665_024 + 7_706_369


def test_an_ablation_leaves_out_what_it_names() -> None:
    assert parameters(Student(encoder_decoder=False)) == 2_782_784  # the teacher's stages
    assert DeSTSeg(0).segmentation is None
    first = {inputs: Segmentation(8, inputs).res[0].conv1.in_channels for inputs in get_args(Inputs)}
    assert first == {"product": 448, "concatenated": 896, "distances": 3}


def test_each_part_costs_the_published_number_of_operations_or_less() -> None:
    def gflop(part: nn.Module, *shape: int) -> float:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            part.eval()(torch.empty(1, *shape, device="meta"))
        return counter.get_total_flops() / 1e9

    with torch.device("meta"):  # counted, not computed
        teacher, student, segmentation = new_teacher(), Student(), Segmentation()
    assert gflop(teacher, 3, 256, 256) == pytest.approx(3.66, abs=0.005)
    assert gflop(student, 3, 256, 256) == pytest.approx(10.68, abs=0.005)
    of_the_mean = 2 * 9 * 256 * 256 * (64 * 64 - 3 * 3) / 1e9  # what the ASPP does not compute at every place
    assert gflop(segmentation, 448, 64, 64) == pytest.approx(62.55 - of_the_mean, abs=0.005)


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (16, 16)])
def test_the_global_mean_is_fused_as_a_map_that_is_constant_everywhere(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    aspp, x = ASPP(8).double(), torch.randn(2, 8, *size).double()
    mean = aspp.pooled(x.mean((2, 3), keepdim=True)).expand_as(x)
    expected = aspp.fuse(torch.cat([mean, *(branch(x) for branch in aspp.dilated)], dim=1))
    assert torch.allclose(aspp(x), expected, rtol=0, atol=1e-12)


def test_maps_have_the_published_shapes() -> None:
    with torch.device("meta"):
        images = torch.empty(2, 3, 256, 256)
        teacher = new_teacher()(images)
        students = [Student()(images), Student(encoder_decoder=False)(images)]
        logits = Segmentation()(similarities(teacher, students[0]))
    shapes = [tuple(level.shape) for level in teacher]
    assert shapes == [(2, 64, 64, 64), (2, 128, 32, 32), (2, 256, 16, 16)]
    assert [[tuple(level.shape) for level in student] for student in students] == [shapes, shapes]
    assert logits.shape == (2, 1, 64, 64)


def test_student_and_residual_blocks_start_as_kaiming_and_the_head_as_torch_does() -> None:
    torch.manual_seed(0)
    student, segmentation = Student(), Segmentation()
    for part in (student, segmentation.res):
        for conv in convolutions(part):
            deviation = math.sqrt(2 / (conv.out_channels * conv.kernel_size[0] ** 2))  # fan_out
            assert conv.weight.std().item() == pytest.approx(deviation, rel=0.05)
            assert conv.weight.abs().max() > 3 * deviation  # normal: a uniform one ends at 1.73 deviations
    for conv in convolutions(segmentation.head):
        bound = 1 / math.sqrt(conv.in_channels * conv.kernel_size[0] ** 2)  # uniform within fan_in's root
        assert 0.9 * bound < conv.weight.abs().max() <= bound
    for norm in (*norms(student), *norms(segmentation)):
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def test_teacher_never_leaves_evaluation_and_has_no_gradients() -> None:
    network = DeSTSeg(8).train()
    assert not any(module.training for module in network.teacher.modules())
    assert not any(p.requires_grad for p in network.teacher.parameters())
    before = network.teacher.bn1.running_mean.clone()
    network.teacher(torch.randn(4, 3, 64, 64) + 3)
    assert torch.equal(network.teacher.bn1.running_mean, before)


def test_equal_maps_give_similarities_that_sum_to_minus_one_at_each_level() -> None:
    levels = new_teacher()(torch.randn(1, 3, 64, 64))
    found = similarities(levels, levels)
    assert found.shape == (1, 448, 16, 16)
    for part in found.split([64, 128, 256], dim=1):
        torch.testing.assert_close(part.sum(dim=1), torch.full((1, 16, 16), -1.0), atol=1e-5, rtol=0)


PLACES = torch.tensor([[3.0, 4.0], [0.0, 2.0]]).t().view(1, 2, 1, 2)  # two places: (3, 4) and (0, 2)
OTHERS = torch.tensor([[4.0, 3.0], [0.0, -5.0]]).t().view(1, 2, 1, 2)


def test_product_is_negated_and_of_maps_of_length_one() -> None:
    found = similarities((PLACES,), (OTHERS,))
    expected = [[-0.6 * 0.8, 0], [-0.8 * 0.6, 1]]  # [channel, place]
    torch.testing.assert_close(found, torch.tensor(expected).view(1, 2, 1, 2))


def test_the_other_inputs_are_the_maps_themselves_and_their_distances() -> None:
    assert torch.equal(similarities((PLACES,), (OTHERS,), "concatenated"), torch.cat([PLACES, OTHERS], dim=1))
    found = similarities((PLACES,), (OTHERS,), "distances")
    torch.testing.assert_close(found, torch.tensor([1 - 0.96, 2.0]).view(1, 1, 1, 2))


@pytest.mark.parametrize("inputs", get_args(Inputs))
def test_every_level_is_brought_to_the_size_of_the_first(inputs: Inputs) -> None:
    fine, coarse = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 2, 2)
    found = similarities((fine, coarse), (fine.flip(1), coarse.flip(1)), inputs)
    alone = similarities((coarse,), (coarse.flip(1),), inputs)
    resized = found[:, found.shape[1] // 2 :]
    # bilinear, align_corners=False: corners keep their value, the next pixel lies a quarter of the way
    torch.testing.assert_close(resized[..., 0, 0], alone[..., 0, 0])
    torch.testing.assert_close(resized[..., 0, 1], 0.75 * alone[..., 0, 0] + 0.25 * alone[..., 0, 1])


def test_dest_is_the_product_of_the_levels_distances() -> None:
    def level(cosine: float, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        one = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, size, size)
        other = torch.tensor([cosine, math.sqrt(1 - cosine**2)]).view(1, 2, 1, 1).expand(1, 2, size, size)
        return one, other

    teacher, student = zip(level(0.5, 8), level(-1, 4), level(0.2, 2), strict=True)
    torch.testing.assert_close(dest(teacher, student), torch.full((1, 1, 8, 8), 0.5 * 2 * 0.8))


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


@pytest.mark.parametrize(("width", "highest"), [(8, 1), (0, 8)])  # three factors of 1 - cos, each at most 2
def test_photographs_become_maps_of_their_own_size_within_their_range(width: int, highest: float) -> None:
    network = DeSTSeg(width).eval()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        scores, maps = network(images)
    assert scores.shape == (3,)
    assert maps.shape == (3, 64, 64)
    assert maps.min() >= 0
    assert maps.max() <= highest


def test_mean_colour_of_imagenet_is_normalised_to_zero() -> None:
    images = torch.tensor([0.485, 0.456, 0.406]).mul(255).view(1, 3, 1, 1)
    torch.testing.assert_close(ResNet18().normalise(images), torch.zeros(1, 3, 1, 1), atol=1e-5, rtol=0)
