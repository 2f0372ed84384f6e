"""The formula teacher: what its training promises, on a run of a few steps."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from destseg.model.teacher import new_teacher
from destseg.model.weights import load_weights, read_metadata
from destseg.training import pretrain as module
from destseg.training.pretrain import Classifier, PretrainSettings, augment, pretrain, schedule

TINY = PretrainSettings(classes=3, images_per_class=2, size=32, first_size=32, steps=4, batch=4)


def equal(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors, bit for bit."""
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "deep" / "formula.safetensors"
    pretrain(out, settings=TINY, seed=1)
    return out


def test_the_file_holds_the_teacher_and_nothing_else(written: Path):
    weights = load_file(written)
    assert set(weights) == set(new_teacher().state_dict())
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_convolutions_are_fp16_and_batchnorm_is_fp32(written: Path):
    for name, value in load_file(written).items():
        if value.ndim == 4:
            assert value.dtype == torch.float16, name
        elif value.is_floating_point():
            assert value.dtype == torch.float32, name
    assert written.stat().st_size < 6_000_000


def test_widened_it_loads_into_the_teacher(written: Path):
    teacher = new_teacher()
    load_weights(written, teacher)
    levels = teacher(torch.randn(2, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in levels] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert all(level.isfinite().all() for level in levels)


def test_the_file_says_how_it_was_made(written: Path):
    assert read_metadata(written) == {
        "source": "formula",
        "classes": "3",
        "images_per_class": "2",
        "steps": "4",
        "seed": "1",
    }


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(written: Path, tmp_path: Path):
    pretrain(tmp_path / "same", settings=TINY, seed=1)
    pretrain(tmp_path / "other", settings=TINY, seed=2)
    assert equal(tmp_path / "same", written)
    assert not equal(tmp_path / "other", written)


def test_interrupted_it_goes_on_and_ends_with_the_same_weights(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, step = tmp_path / "formula.safetensors", module._step

    def interrupted(*args):
        if args[-2] == 3:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(module, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(module, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(out, settings=TINY, seed=1)
    assert not out.exists()
    seen = []
    monkeypatch.setattr(module, "_step", lambda *args: seen.append(args[-2]) or step(*args))
    pretrain(out, settings=TINY, seed=1)
    assert seen == [3]
    assert equal(out, written)
    assert not out.with_suffix(".resume").exists()


def test_the_classifier_learns_where_the_teacher_is_frozen():
    net = Classifier(3).train()
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert net.bn1.training


def test_crops_have_the_size_asked_for_and_depend_on_the_generator():
    photographs = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8)
    first, again, other = (augment(photographs, 32, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.shape == (4, 3, 32, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_learning_rate_rises_then_falls_to_nothing():
    factors = [schedule(step, 100) for step in range(100)]
    assert factors[0] < factors[4]
    assert max(factors) <= 1
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.01
