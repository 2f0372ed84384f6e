"""The yardstick costs what the published loop does, waste included, and computes what our network does."""

import copy
import itertools
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from destseg import Error
from destseg.bench.naive import Naive, Samples, write_pictures
from destseg.model.network import DeSTSeg
from destseg.model.similarity import similarities
from destseg.training.losses import focal_loss, l1_loss, quarter_mask, student_loss

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures")
    write_pictures(path, normals=3, textures=3, side=64)
    return path


@pytest.fixture
def naive(folder: Path) -> Naive:
    return Naive(folder, size=64, batch=2, width=8, device=CPU)


def keep_one_batch(naive: Naive) -> list[torch.Tensor]:
    batch = next(naive.batches)
    naive.batches = itertools.repeat(batch)
    return batch


def unsaturated(naive: Naive) -> None:
    """Kaiming's last layer gives probabilities of 0 and 1 only, which would hide differences."""
    naive.segmentation.head[-1].weight.data *= 0.2


def same_network(naive: Naive) -> DeSTSeg:
    network = DeSTSeg(naive.segmentation.width)
    network.teacher, network.student, network.segmentation = (
        copy.deepcopy(part) for part in (naive.teacher, naive.student, naive.segmentation)
    )
    return network


def state(module: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in module.state_dict().values()]


def same(before: list[torch.Tensor], module: nn.Module) -> bool:
    return all(map(torch.equal, before, state(module)))


def test_each_step_costs_the_published_number_of_operations(folder: Path) -> None:
    # Scaled by the area: at multiples of 32 every convolution has its share of the places, padding is counted, and only
    # the pooled branch has one place at any size (0.13 MFLOP an image).
    naive = Naive(folder, size=32, batch=2, width=256, device=CPU)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)

    def gflop(work: Callable[[], object]) -> float:
        with FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops() / 2 * (256 / 32) ** 2 / 1e9

    teacher, student, segmentation = 3.66, 10.68, 62.55
    forward = 2 * teacher + student + segmentation
    student_backward = 2 * student - 2 * 3 * 64 * 7**2 * 128**2 / 1e9  # no gradient of the image
    assert gflop(naive.student_step) == pytest.approx(forward + student_backward, abs=0.05)
    assert gflop(naive.segmentation_step) == pytest.approx(forward + student_backward + 2 * segmentation, abs=0.05)
    assert gflop(lambda: naive.score(images)) == pytest.approx(forward, abs=0.05)
    assert forward + student_backward == pytest.approx(101.7, rel=0.005)
    assert forward + student_backward + 2 * segmentation == pytest.approx(227, rel=0.005)


def test_everything_is_float32_and_contiguous(naive: Naive) -> None:
    seen = list[torch.Tensor]()
    for network in (naive.teacher, naive.student, naive.segmentation):
        for part in network.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(lambda module, given, output: seen.extend([module.weight, *given, output]))
    naive.student_step()
    naive.segmentation_step()
    assert len(seen) > 300
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in seen)


def test_masks_cover_a_few_percent_and_damage_ends_at_the_mask(folder: Path) -> None:
    torch.manual_seed(0)
    samples = Samples(folder, 64, 300)
    normal, damaged, mask = (torch.stack(parts) for parts in zip(*map(samples.__getitem__, range(300)), strict=True))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert 0.03 < mask.mean() < 0.08
    assert 0 < (mask.sum((1, 2, 3)) == 0).float().mean() < 0.2  # an empty mask is kept
    outside = (mask == 0).expand_as(normal)
    assert torch.equal(damaged[outside], normal[outside])
    assert (damaged[~outside] != normal[~outside]).float().mean() > 0.9


def test_a_sample_is_drawn_anew_at_each_access(folder: Path) -> None:
    samples = Samples(folder, 64, 1)
    assert not torch.equal(samples[0][0], samples[0][0])
    assert len({samples[0][2].sum().item() for _ in range(8)}) > 4


def plain_samples(folder: Path, normal: Image.Image) -> Samples:
    for name in ("normal", "textures"):
        (folder / name).mkdir()
    normal.save(folder / "normal/0.png")
    Image.new("RGB", normal.size, (20, 20, 20)).save(folder / "textures/0.jpg")
    return Samples(folder, normal.width, 150)


def in_bytes(images: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images * std.view(3, 1, 1) + mean.view(3, 1, 1)) * 255


def test_weight_of_the_texture_lies_between_a_fifth_and_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    samples, weights = plain_samples(tmp_path, Image.new("RGB", (64, 64), (200,) * 3)), []
    for normal, damaged, mask in map(samples.__getitem__, range(150)):
        before, after = (in_bytes(part)[mask.expand_as(normal) == 1] for part in (normal, damaged))
        if before.numel():
            weight = (before - after) / (before - 20)
            assert weight.max() - weight.min() < 1e-4
            weights.append(weight.mean().item())
    assert 0.2 - 1e-4 <= min(weights) < 0.25
    assert 0.95 < max(weights) <= 1 + 1e-4


def test_normal_images_are_turned_by_quarters_and_a_little_and_filled_with_grey(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image = Image.new("RGB", (64, 64), (200,) * 3)
    image.paste((255, 0, 0), (52, 28, 60, 36))  # right of the centre
    samples = plain_samples(tmp_path, image)
    normals = in_bytes(torch.stack([samples[index][0] for index in range(150)]))
    spot = (normals[:, 1] < 60).float()
    y, x = torch.meshgrid(*[torch.arange(64.0) - 31.5] * 2, indexing="ij")
    angles = torch.rad2deg(torch.atan2((spot * y).sum((1, 2)), (spot * x).sum((1, 2))))
    quarters = torch.round(angles / 90)
    assert ((quarters % 4).long().bincount(minlength=4) > 20).all()
    assert 2 < (angles - 90 * quarters).abs().max() < 6
    assert normals[:, :, 0, 0].min() == pytest.approx(114, abs=1)


def test_losses_of_stage_1_are_ours(naive: Naive) -> None:
    normal, damaged, _ = keep_one_batch(naive)
    network = same_network(naive).train()
    with torch.no_grad():
        expected = student_loss(network.teacher(normal), network.student(damaged)).sum().item()
    cosine, _, _, minimised = naive.student_step()
    assert cosine == pytest.approx(expected, rel=1e-5)
    assert minimised == cosine


def test_losses_of_stage_2_are_ours(naive: Naive) -> None:
    unsaturated(naive)
    _, damaged, mask = keep_one_batch(naive)
    network = same_network(naive).train()
    assert network.segmentation is not None
    network.student.eval()
    with torch.no_grad():
        logits = network.segmentation(similarities(network.teacher(damaged), network.student(damaged)))
    target = quarter_mask(mask)
    expected = [focal_loss(logits, target).item(), l1_loss(logits, target).item()]
    _, focal, l1, minimised = naive.segmentation_step()
    assert [focal, l1] == pytest.approx(expected, rel=1e-4)
    assert minimised == pytest.approx(focal + l1)


def test_scores_and_maps_are_ours(naive: Naive) -> None:
    unsaturated(naive)
    for part in (*naive.student.modules(), *naive.segmentation.modules()):
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0  # statistics of the next batch, so that maps are not nearly even
    naive.student_step()
    naive.segmentation_step()
    network, generator = same_network(naive).eval(), torch.Generator().manual_seed(0)
    for size in (64, 96):
        images = torch.randint(0, 256, (3, 3, size, size), generator=generator, dtype=torch.uint8)
        images[0] //= 2
        with torch.no_grad():
            expected = network(images)
        scores, maps = naive.score(images)
        torch.testing.assert_close(scores, expected[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(maps, expected[1], atol=1e-4, rtol=0)
        assert scores.unique().numel() == 3
        assert (maps.amax((1, 2)) - maps.amin((1, 2)) > 0.1).all()
        assert not scores.requires_grad


def test_stage_1_moves_the_student_alone(naive: Naive) -> None:
    before = {name: state(getattr(naive, name)) for name in ("teacher", "student", "segmentation")}
    naive.student_step()
    assert [name for name in before if not same(before[name], getattr(naive, name))] == ["student"]
    assert all(p.grad is None for p in naive.segmentation.parameters())


def test_stage_2_gives_the_frozen_student_gradients_and_moves_the_segmentation_net_alone(naive: Naive) -> None:
    naive.student_step()
    before = {name: state(getattr(naive, name)) for name in ("teacher", "student", "segmentation")}
    unsaturated(naive)
    keep_one_batch(naive)
    naive.segmentation_step()
    assert [name for name in before if not same(before[name], getattr(naive, name))] == ["segmentation"]
    gradients = [p.grad for p in naive.student.parameters()]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_stage_2_has_a_learning_rate_for_each_part_and_gradients_do_not_add_up(naive: Naive) -> None:
    unsaturated(naive)
    keep_one_batch(naive)
    for module in (naive.student, naive.segmentation):
        for p in module.parameters():
            p.grad = torch.full_like(p, 1e6)
    before = copy.deepcopy(naive.segmentation)
    naive.segmentation_step()
    for part, lr in (("res", 0.1), ("head", 0.01)):
        pairs = zip(getattr(before, part).parameters(), getattr(naive.segmentation, part).parameters(), strict=True)
        for old, new in pairs:
            torch.testing.assert_close(new, old - lr * (new.grad + 1e-4 * old), atol=1e-6, rtol=1e-4)
    assert all(p.grad.abs().max() < 1e5 for p in naive.student.parameters())


def test_batches_never_end_and_workers_do_at_the_end(folder: Path) -> None:
    naive = Naive(folder, size=32, batch=128, width=8, device=CPU, workers=1)
    others = set(multiprocessing.active_children())
    batches = [next(naive.batches) for _ in range(3)]  # an epoch has two
    assert [tuple(batch[1].shape) for batch in batches] == [(128, 3, 32, 32)] * 3
    assert len({batch[2].sum().item() for batch in batches}) == 3
    started = set(multiprocessing.active_children()) - others
    assert len(started) == 1
    naive.close()
    assert not started & set(multiprocessing.active_children())


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="write_pictures"):
        Samples(tmp_path, 64, 1)
