"""A run repeats bit for bit; schedules, precision, losses that explode, and too little memory.

What a step does: test_steps.py.
"""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from destseg import Error
from destseg.model.student import Network, Student
from destseg.model.teacher import new_teacher
from destseg.training import loop, segmentation, student
from destseg.training.checkpoint import Checkpoint, checkpoint
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Batch, Synthesis, SynthesisSettings, seeded

from ..compact import NETWORKS, lite0, teacher_for

CPU = torch.device("cpu")


def synthesis(side: int = 64, crop: int | None = None) -> Synthesis:
    generator = seeded(0, "pictures")
    images, textures = (
        torch.randint(0, 256, (6, 3, size, size), generator=generator, dtype=torch.uint8)
        for size in (side, crop or side)
    )
    return Synthesis(images, textures, SynthesisSettings(crop=crop), seeded(0, "training"))


def train_student(
    steps: int = 3, network: Network = "paper", **settings: Any
) -> tuple[Student, list[tuple[int, list[float]]]]:
    torch.manual_seed(5)
    wanted = StudentSettings(steps=steps, batch=2, precision="float32", network=network, **settings)
    return student.train(teacher_for(network), synthesis(), wanted, seed=0)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


COMPACT: dict[str, Any] = {
    "network": "compact",
    "reduction": "mean",
    "optimiser": "adamw",
    "lr": 0.002,
    "encoder_lr_share": 0.3,
    "schedule": "cosine",
}


@pytest.mark.parametrize("settings", [{"lr": 0.05}, COMPACT], ids=NETWORKS)
def test_the_student_learns_and_a_second_run_ends_with_the_same_bits(settings: dict[str, Any]) -> None:
    first, rows = train_student(8, **settings)
    again, _ = train_student(8, **settings)
    assert equal(first, again)
    assert [number for number, _ in rows] == list(range(1, 9))
    assert rows[-1][1][0] < rows[0][1][0]
    assert not any(module.training for module in first.modules())


def test_a_loss_that_explodes_stops_with_a_sentence() -> None:
    with pytest.raises(Error, match="student: the loss is not finite at step 2; lower the learning rate"):
        train_student(3, lr=1e38)


def exhausted(training: loop.Training, *, after: int = 0) -> loop.Training:
    """The training on a device whose memory is too small from the step after `after` on."""
    left = [after]

    def loss(batch: Batch) -> tuple[Tensor, Tensor]:
        left[0] -= 1
        if left[0] < 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return training.loss(batch)

    return dataclasses.replace(training, loss=loss)


@pytest.mark.parametrize(
    ("batch", "crop", "remedy"),
    [
        (32, None, r"set student\.batch to 16 in params\.yaml, which changes the result"),
        (3, None, r"set student\.batch to 1 in"),
        (1, None, r"set image\.size to a smaller number in"),
        (1, 64, r"set synthesis\.crop to a smaller number in"),
    ],
)
def test_too_little_memory_is_a_sentence_that_says_what_to_set(batch: int, crop: int | None, remedy: str) -> None:
    source = synthesis(96, crop)
    training = student.prepared(new_teacher(), source, StudentSettings(batch=batch), seed=0)[1]
    said = rf"student\.batch {batch} of images of {crop or 96} pixels: cpu \(the processor, [0-9.]+ GB\) has not enough"
    with pytest.raises(Error, match=f"{said} memory; {remedy}"):
        loop.run(exhausted(training))


@pytest.mark.parametrize(
    ("batch", "remedy"), [(5, r"segmentation\.batch to 2"), (3, r"image\.size to a smaller number")]
)
def test_a_batch_of_one_is_not_advised_where_none_can_learn_from_it(batch: int, remedy: str) -> None:
    settings = SegmentationSettings(batch=batch, width=16)
    training = segmentation.prepared(new_teacher(), Student(), synthesis(), settings, seed=0)[1]
    with pytest.raises(Error, match=f"set {remedy} in params"):
        loop.run(exhausted(training))


def test_what_was_trained_before_memory_ran_out_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    monkeypatch.setenv("DESTSEG_CHECKPOINT_SECONDS", "1e-6")
    training = student.prepared(new_teacher(), synthesis(), StudentSettings(batch=1, steps=4), seed=0)[1]

    def train() -> None:
        with checkpoint("bolt-student", {}) as saved:
            loop.run(exhausted(training, after=2), saved)

    with pytest.raises(Error, match="has not enough memory"):
        train()
    with checkpoint("bolt-student", {}) as saved:
        assert saved is not None
        state = saved.load(CPU)
        assert state is not None
        assert len(state["rows"]) == 2


def test_a_compact_training_that_is_cut_short_goes_on_and_ends_with_the_bits_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    """Both stages, and the second has a student of the first; a killed process: test_checkpoint.py."""
    second = SegmentationSettings(steps=4, batch=2, width=8, optimiser="adamw", schedule="cosine", precision="float32")
    first = StudentSettings(steps=4, batch=2, precision="float32", **COMPACT)
    learnt, _ = student.train(lite0(), synthesis(), first, seed=0)

    def prepared(stage: str) -> loop.Training:
        if stage == "student":
            return student.prepared(lite0(), synthesis(), first, seed=0)[1]
        return segmentation.prepared(lite0(), learnt, synthesis(), second, seed=0)[1]

    for stage in ("student", "segmentation"):
        whole, cut, resumed = prepared(stage), prepared(stage), prepared(stage)
        saved = Checkpoint(tmp_path / f"{stage}.pt", every=0)
        rows = loop.run(whole)
        with pytest.raises(Error, match="has not enough memory"):
            loop.run(exhausted(cut, after=2), saved)
        state = saved.load(CPU)
        assert state is not None
        assert len(state["rows"]) == 2
        assert loop.run(resumed, saved) == rows
        assert equal(resumed.network, whole.network), stage
        assert not equal(cut.network, whole.network)


def test_a_cosine_schedule_ends_at_nothing_and_a_constant_one_stays() -> None:
    def rates(schedule: loop.Schedule) -> list[float]:
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 2.0)
        scheduler, seen = loop.scheduler(optimiser, schedule, 4), []
        for _ in range(4):
            seen.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        return [*seen, optimiser.param_groups[0]["lr"]]

    assert rates("constant") == [2.0] * 5
    assert rates("cosine") == pytest.approx([2.0, 1.7071068, 1.0, 0.2928932, 0.0])


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_trains_both_stages_as_float32_does_but_for_its_rounding(network: Network) -> None:
    torch.manual_seed(0)
    teacher, losses = teacher_for(network), []
    for precision in ("float32", "bfloat16"):
        first = StudentSettings(steps=1, batch=2, network=network, lr=1e-3, reduction="mean", precision=precision)
        learnt, rows = student.train(teacher, synthesis(), first, seed=0)
        second = SegmentationSettings(steps=1, batch=2, width=8, precision=precision)
        outlines, more = segmentation.train(teacher, learnt, synthesis(), second, seed=0)
        assert all(weight.isfinite().all() for part in (learnt, outlines) for weight in part.state_dict().values())
        losses.append([*rows[0][1], *more[0][1]])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


def test_a_prior_is_what_the_net_says_before_it_has_learned() -> None:
    wanted = SegmentationSettings(width=8, batch=2, steps=1, prior=0.05)
    net = segmentation.prepared(new_teacher(), Student(), synthesis(), wanted, seed=0)[0]
    for weight in net.head[-1].parameters():
        if weight.dim() > 1:
            torch.nn.init.zeros_(weight)
    assert torch.sigmoid(net.eval()(torch.randn(1, 448, 8, 8))).mean().item() == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"prior is 1\.0, expected null or more than 0 and less than 1"):
        SegmentationSettings(prior=1.0)
