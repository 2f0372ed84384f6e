"""The memory: its distances are what torch computes, and the map is a sum with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from destseg import Error
from destseg.model.memory import Memory, deviation, distance, features, levelled, load_memory, save_memory
from destseg.model.network import DeSTSeg
from destseg.model.weights import save_weights
from destseg.training.memory import MemorySettings, coreset, remember
from destseg.training.synthesis import seeded

from ..compact import lite0, untrained

SIZE = 64


def pictures(count: int, seed: int = 0) -> Tensor:
    """uint8 [N, 3, S, S], smooth and alike."""
    noise = torch.rand(count, 3, 8, 8, generator=seeded(seed, "pictures")) * 60 + 90
    return torch.nn.functional.interpolate(noise, (SIZE, SIZE), mode="bilinear").to(torch.uint8)


def remembered(network: DeSTSeg, images: Tensor, *, patches: int = 300) -> Memory:
    settings = MemorySettings(patches=patches)
    return remember(network.teacher, network.student, images, settings, seeded(0, "memory"))


def test_the_distance_is_that_to_the_nearest_patch_rounded_off_near_nothing() -> None:
    places, patches = torch.randn(2, 5, 7, 6), torch.randn(11, 6)
    for known in (patches, torch.randn(1500, 6)):  # more than are compared at once
        nearest = torch.cdist(places.flatten(0, 2), known).amin(dim=1).view(2, 5, 7)
        assert torch.allclose(distance(places, known), (1 + nearest**2).sqrt(), atol=1e-5)
        assert torch.allclose(distance(known, known), torch.ones(len(known)), atol=1e-5)


def test_patches_are_of_every_kind_however_rare() -> None:
    kinds = 10 * torch.randn(30, 12, generator=seeded(0, "kinds"))
    rare = torch.cat([torch.zeros(5000, dtype=torch.long), torch.arange(30)])  # all but one in 160 are alike
    places = kinds[rare] + torch.randn(len(rare), 12, generator=seeded(0, "places")) / 10
    rows = coreset(places, 40, seeded(0, "coreset"))
    assert len(set(rows.tolist())) == 40
    assert set(rare[rows].tolist()) == set(range(30))
    assert coreset(places, 40, seeded(0, "coreset")).tolist() == rows.tolist()
    assert sorted(coreset(places[:7], 40, seeded(0, "coreset")).tolist()) == list(range(7))


def test_means_and_deviations_are_those_of_the_normal_images() -> None:
    network, images = untrained("compact").eval(), pictures(12)
    memory = remembered(network, images)
    with torch.inference_mode():
        x = network.teacher.normalise(images)
        teacher, student = network.teacher(x), network.student(x)
        apart = levelled(teacher, student)
        _, of_dest = memory.standardised(teacher, student)
        flat = features(teacher).permute(0, 2, 3, 1).flatten(0, 2)
    assert torch.allclose(memory.dest_mean, apart.mean(dim=(0, 2, 3)), rtol=1e-3)
    assert abs(float(of_dest.mean())) < 1e-3
    assert torch.allclose(memory.dest_std, apart.transpose(0, 1).flatten(1).std(dim=1), rtol=1e-3)
    assert torch.allclose(memory.mean, flat.mean(dim=0), atol=1e-3)
    assert torch.allclose(memory.std, flat.std(dim=0), rtol=1e-3)
    assert memory.patches.shape == (300, sum(network.teacher.channels))


def test_a_normal_place_is_not_measured_to_itself() -> None:
    """With every patch kept, the distance within one's own image would be 0."""
    network, images = untrained("compact").eval(), pictures(4)
    memory = remembered(network, images, patches=4 * (SIZE // 8) ** 2)
    assert memory.patch_mean > 1


def test_a_channel_that_hardly_moves_does_not_outweigh_the_others() -> None:
    values = torch.randn(1000, 4, generator=seeded(0, "channels")) * torch.tensor([2.0, 2.0, 0.0, 1e-7])
    assert deviation(values)[2:].tolist() == pytest.approx([0.05, 0.05], rel=0.1)
    assert float(deviation(torch.zeros(10))) == pytest.approx(1e-3)


def test_a_mark_stands_out_of_the_normal_places() -> None:
    network, images = untrained("compact").eval(), pictures(12)
    memory = remembered(network, images)
    marked = pictures(2, seed=1)
    marked[:, :, 20:40, 20:40] = 255
    with torch.inference_mode():
        x = network.teacher.normalise(marked)
        found = memory(network.teacher(x), network.student(x))
    assert found.shape == (2, 1, SIZE // 4, SIZE // 4)
    assert (found[:, 0, 6:9, 6:9].mean(dim=(1, 2)) > found[:, 0, 12:, 12:].mean(dim=(1, 2)) + 0.2).all()


def test_what_is_added_grows_with_the_logarithm_of_each_distance() -> None:
    network, images = untrained("compact").eval(), pictures(12)
    memory = remembered(network, images)
    images[:, :, 20:40, 20:40] = 255
    with torch.inference_mode():
        x = network.teacher.normalise(images)
        teacher, student = network.teacher(x), network.student(x)
        found = memory(teacher, student)
        far, apart = (z.double().numpy() for z in memory.standardised(teacher, student))
    assert far.max() > 5
    assert far.min() < 0
    expected = sum(
        weight * np.sign(z) * np.log(1 + np.abs(z)) for weight, z in zip((0.7, 0.25), (far, apart), strict=True)
    )
    assert np.allclose(found.numpy(), expected, atol=1e-5)


def test_the_map_is_the_sum(tmp_path: Path) -> None:
    network, images = untrained("compact").eval(), pictures(12)
    with torch.inference_mode():
        _, without = network(images)
        network.memory = remembered(network, images)
        _, whole = network(images)
        x = network.teacher.normalise(images)
        more = network.memory(network.teacher(x), network.student(x))
    more = torch.nn.functional.interpolate(more, (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(whole, without + more, atol=1e-5)
    save_memory(tmp_path / "memory.safetensors", network.memory, {"settings": "{}"})
    again = load_memory(tmp_path / "memory.safetensors")
    assert again is not None
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.memory.state_dict().items())


def test_a_model_without_a_memory_says_so(tmp_path: Path) -> None:
    save_memory(tmp_path / "none.safetensors", None)
    assert load_memory(tmp_path / "none.safetensors") is None
    save_weights(tmp_path / "odd.safetensors", {}, {"patches": "many"})
    with pytest.raises(Error, match=r"odd\.safetensors says .*many.* run the stage `memory` again"):
        load_memory(tmp_path / "odd.safetensors")


def test_fewer_places_than_patches_are_all_kept() -> None:
    network = untrained("compact").eval()
    memory = remembered(network, pictures(1), patches=5000)
    assert len(memory.patches) == (SIZE // 8) ** 2
    assert lite0().channels == memory.channels
    assert bool(torch.isfinite(memory.patch_mean))
