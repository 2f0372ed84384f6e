"""Two steps of each stage against the same two written out: what a network sees, the loss, the optimiser, its rates.

Of the compact network with its convolutions, paddings and blocks written out too.
"""

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from destseg.model.blocks import kaiming_init
from destseg.model.device import placed
from destseg.model.efficientnet_lite0 import EfficientNetLite0
from destseg.model.resnet18 import ResNet18
from destseg.model.segmentation import Segmentation
from destseg.model.similarity import similarities
from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.training import loop, segmentation, student
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

from ..compact import lite0

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


class Adam:
    """AdamW without weight decay, by Kingma and Ba (2015), algorithm 1."""

    def __init__(self) -> None:
        self.means: dict[str, tuple[Tensor, Tensor]] = {}
        self.steps = 0

    def descend(self, module: nn.Module, loss: Tensor, rate: dict[str, float]) -> None:
        """One step; `rate` is by the first part of a parameter's name."""
        self.steps += 1
        named = dict(module.named_parameters())
        for (name, weight), slope in zip(named.items(), torch.autograd.grad(loss, list(named.values())), strict=True):
            first, second = self.means.get(name, (torch.zeros(()), torch.zeros(())))
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope.square()
            self.means[name] = first, second
            by = (first / (1 - 0.9**self.steps)) / ((second / (1 - 0.999**self.steps)).sqrt() + 1e-8)
            weight.data -= rate[name.partition(".")[0]] * by


def plain_conv(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Padded as TensorFlow pads sides that the stride divides: at stride 2, one more below and to the right."""
    total = conv.kernel_size[0] - conv.stride[0]
    low = total // 2
    padded = F.pad(x, (low, total - low, low, total - low))
    normed: Tensor = norm(F.conv2d(padded, conv.weight, None, conv.stride[0], 0, 1, conv.groups))
    return normed


def plain_encoder(net: EfficientNetLite0, x: Tensor) -> list[Tensor]:
    """Maps at 1/4, 1/8, 1/16 and, of a deep one, 1/32."""
    x, levels = F.relu6(plain_conv(x, net.stem, net.bn)), []
    for number, stage in enumerate(net.stages):
        for block in stage:
            y = F.relu6(plain_conv(x, block.expand, block.bn0)) if number else x  # the first stage does not expand
            y = F.relu6(plain_conv(y, block.depthwise, block.bn1))
            y = plain_conv(y, block.project, block.bn2)
            x = x + y if x.shape == y.shape else y
        if number in (1, 2, 4, 6):
            levels.append(x)
    return levels


def plain_student(net: Student, x: Tensor) -> list[Tensor]:
    """The decoder doubles from 1/32 to 1/4; its maps get the teacher's channels by 1x1 convolutions."""
    level, levels = net.decoder_layer4(plain_encoder(net.encoder, x)[3]), []
    for part, head in zip(
        (net.decoder_layer3, net.decoder_layer2, net.decoder_layer1), reversed(net.heads), strict=True
    ):
        level = part(F.interpolate(level, scale_factor=2, mode="bilinear", align_corners=False))
        levels.insert(0, F.conv2d(level, head.weight, head.bias) if isinstance(head, nn.Conv2d) else level)
    return levels


def compact_input(images: Tensor) -> Tensor:
    return ((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_stage_1_of_the_compact_network_starts_from_the_teacher_and_spares_its_encoder(
    optimiser: loop.OptimiserName,
) -> None:
    changed: dict[str, Any] = {"schedule": "cosine", "weight_decay": 0.0} if optimiser == "adamw" else {}
    settings = StudentSettings(
        network="compact", reduction="mean", optimiser=optimiser, lr=1e-3, encoder_lr_share=0.3, **SHORT | changed
    )
    found, rows = student.train(lite0(), synthesis(), settings, seed=3)

    torch.manual_seed(3)
    start = Student("efficientnet-lite0", network="compact")
    start.encoder.load_state_dict(lite0().state_dict())
    start = placed(start.train(), CPU)
    expected, batches, adam, velocities = copy.deepcopy(start), synthesis(), Adam(), dict[str, Tensor]()
    rates = {name: 1e-3 * (0.3 if name == "encoder" else 1) for name, _ in expected.named_children()}
    for row, share in zip(rows, (1.0, 0.5), strict=True):  # a half cosine over two steps
        batch = batches.batch(2)
        with torch.no_grad():
            target = plain_encoder(lite0(), compact_input(batch.normal))[:3]
        output = plain_student(expected, compact_input(batch.damaged))
        pairs = zip(target, output, strict=True)
        loss = torch.stack([(1 - F.cosine_similarity(t, s)).mean() for t, s in pairs]).sum()
        assert row[1] == pytest.approx([loss.item()], rel=1e-4)
        if optimiser == "sgd":
            descend(expected, loss, velocities, rates)
        else:
            adam.descend(expected, loss, {name: share * rate for name, rate in rates.items()})
    # Part by part, as rounding is much of what a single mean moves by. Adam's steps are as long where rounding decides
    # a gradient's sign.
    bound = 0.02 if optimiser == "sgd" else 0.1
    for part, _ in start.named_children():
        for values in (nn.Module.parameters, nn.Module.buffers):
            theirs, ours, before = (flat(values(net.get_submodule(part))) for net in (found, expected, start))
            assert (theirs - ours).norm() <= bound * (ours - before).norm(), part
    assert not torch.equal(*(flat(net.encoder.buffers()) for net in (found, start)))


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten().float() for tensor in tensors] or [torch.zeros(1)])


def test_stage_2_of_the_compact_network_sees_what_its_teacher_and_student_disagree_on() -> None:
    torch.manual_seed(4)
    frozen = Student("efficientnet-lite0", network="compact")
    frozen.start_from(lite0())
    settings = SegmentationSettings(width=8, lr_res=0.1, lr_head=0.01, **SHORT)
    found, rows = segmentation.train(lite0(), frozen, synthesis(), settings, seed=3)

    torch.manual_seed(3)
    start = Segmentation(8, channels=(24, 40, 112)).train()
    expected, batches, velocities = copy.deepcopy(start), synthesis(), dict[str, Tensor]()
    for row in rows:
        batch = batches.batch(2)
        seen = compact_input(batch.damaged)
        with torch.no_grad():
            inputs = similarities(plain_encoder(lite0(), seen)[:3], plain_student(frozen.eval(), seen), "product")
        assert inputs.shape[1] == 24 + 40 + 112
        p = torch.sigmoid(expected(inputs))
        mask = (F.interpolate(batch.mask, scale_factor=0.25, mode="bilinear", align_corners=False) >= 0.5).float()
        right = torch.where(mask > 0, p, 1 - p)
        focal, l1 = (-((1 - right) ** 4) * right.log()).mean(), (p - mask).abs().mean()
        assert row[1] == pytest.approx([focal.item(), l1.item()], rel=1e-4)
        descend(expected, focal + l1, velocities, {"res": 0.1, "head": 0.01})
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
