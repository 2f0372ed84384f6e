"""Two steps of each stage against the same two written out: what each network sees, the loss, SGD and its rates."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.blocks import kaiming_init
from destseg.model.device import placed
from destseg.model.resnet18 import ResNet18
from destseg.model.segmentation import Segmentation
from destseg.model.similarity import similarities
from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.training import segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

CPU = torch.device("cpu")
STEPS = 2  # the second shows momentum, and that the rate stays
SHORT: dict[str, Any] = {"steps": STEPS, "batch": 2, "precision": "float32", "momentum": 0.9, "weight_decay": 0.1}


def synthesis() -> Synthesis:
    generator = seeded(0, "pictures")
    images, textures = (torch.randint(0, 256, (6, 3, 64, 64), generator=generator, dtype=torch.uint8) for _ in "ab")
    settings = SynthesisSettings(quarter_turns=True, mask_threshold=0.1)  # large masks
    return Synthesis(images, textures, settings, seeded(0, "training"))


def network_input(images: Tensor) -> Tensor:
    """As the stages make it, to the bit: rounding grows to a few percent on its way through the student's gradients."""
    return ResNet18().normalise(images).contiguous(memory_format=torch.channels_last)


def descend(module: nn.Module, loss: Tensor, velocities: dict[str, Tensor], rate: dict[str, float]) -> None:
    """SGD with weight decay 0.1 and momentum 0.9; `rate` is by the first part of a parameter's name."""
    named = dict(module.named_parameters())
    for (name, weight), slope in zip(named.items(), torch.autograd.grad(loss, list(named.values())), strict=True):
        velocities[name] = 0.9 * velocities.get(name, torch.zeros(())) + slope + 0.1 * weight.detach()
        weight.data -= rate[name.partition(".")[0]] * velocities[name]


def assert_alike(found: nn.Module, expected: nn.Module, start: nn.Module) -> None:
    """Each weight and each BatchNorm statistic moved, and by what was expected.

    To 2 %, for rounding grows through BatchNorm over a handful of values.
    """
    before, wanted = start.state_dict(), expected.state_dict()
    for name, value in found.state_dict().items():
        moved = (wanted[name] - before[name]).float().norm().item()
        assert moved > 0, f"{name} did not move"
        assert (value - wanted[name]).float().norm().item() <= 0.02 * moved, name


@pytest.mark.parametrize(
    "changed", [{}, {"reduction": "mean"}, {"denoising": False}, {"encoder_decoder": False}], ids=str
)
def test_stage_1_descends_on_the_distance_of_a_damaged_images_maps_from_the_normal_ones(
    changed: dict[str, Any],
) -> None:
    teacher = new_teacher()
    state = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = StudentSettings(lr=1e-4, **SHORT, **changed)
    found, rows = student.train(teacher, synthesis(), settings, seed=3)
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())

    torch.manual_seed(3)
    start = placed(Student(encoder_decoder=settings.encoder_decoder).train(), CPU)
    expected = copy.deepcopy(start)
    batches, velocities = synthesis(), dict[str, Tensor]()
    for row in rows:
        batch = batches.batch(2)
        assert not torch.equal(batch.damaged, batch.normal)
        target = teacher(network_input(batch.normal))
        output = expected(network_input(batch.damaged if settings.denoising else batch.normal))
        pairs = zip(target, output, strict=True)
        images = sum((1 - (F.normalize(t) * F.normalize(s)).sum(1)).mean((1, 2)) for t, s in pairs)
        assert isinstance(images, Tensor)
        assert row[1] == pytest.approx([images.mean().item()], rel=1e-4)
        loss = images.mean() if settings.reduction == "mean" else images.sum()
        descend(expected, loss, velocities, dict.fromkeys([n for n, _ in expected.named_children()], 1e-4))
    assert_alike(found, expected, start)


@pytest.mark.parametrize(
    "changed",
    [{}, {"l1": False}, {"inputs": "concatenated"}, {"inputs": "distances"}, {"head_init": "kaiming"}],
    ids=str,
)
def test_stage_2_descends_on_focal_and_l1_loss_with_a_rate_for_each_part(changed: dict[str, Any]) -> None:
    torch.manual_seed(4)
    teacher, frozen = new_teacher(), Student()
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):  # so that the batch's own statistics would show
            module.running_var.fill_(2)
    states = [{name: value.clone() for name, value in module.state_dict().items()} for module in (teacher, frozen)]
    settings = SegmentationSettings(width=8, lr_res=0.1, lr_head=0.01, **SHORT, **changed)
    found, rows = segmentation.train(teacher, frozen, synthesis(), settings, seed=3)
    for module, state in zip((teacher, frozen), states, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
        assert all(parameter.grad is None for parameter in module.parameters())

    torch.manual_seed(3)
    start = Segmentation(settings.width, settings.inputs).train()
    if settings.head_init == "kaiming":
        kaiming_init(start.head)
    expected = copy.deepcopy(start)
    batches, velocities = synthesis(), dict[str, Tensor]()
    for row in rows:
        batch = batches.batch(2)
        seen = network_input(batch.damaged)
        with torch.no_grad():
            inputs = similarities(teacher(seen), frozen.eval()(seen), settings.inputs)
        p = torch.sigmoid(expected(inputs))
        mask = (F.interpolate(batch.mask, scale_factor=0.25, mode="bilinear", align_corners=False) >= 0.5).float()
        right = torch.where(mask > 0, p, 1 - p)
        focal, l1 = (-((1 - right) ** 4) * right.log()).mean(), (p - mask).abs().mean()
        assert row[1] == pytest.approx([focal.item(), l1.item()], rel=1e-4)
        descend(expected, focal + l1 if settings.l1 else focal, velocities, {"res": 0.1, "head": 0.01})
    assert_alike(found, expected, start)
