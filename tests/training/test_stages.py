"""A run repeats bit for bit; schedules, precision, and losses that explode. What a step does: test_steps.py."""

import pytest
import torch
from torch import nn

from destseg import Error
from destseg.model.student import Student
from destseg.model.teacher import Teacher
from destseg.training import loop, student
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

CPU = torch.device("cpu")


def synthesis() -> Synthesis:
    generator = seeded(0, "pictures")
    images, textures = (torch.randint(0, 256, (6, 3, 64, 64), generator=generator, dtype=torch.uint8) for _ in "ab")
    return Synthesis(images, textures, SynthesisSettings(), seeded(0, "training"))


def train_student(steps: int = 3, **settings: float) -> tuple[Student, list[tuple[int, list[float]]]]:
    torch.manual_seed(5)
    wanted = StudentSettings(steps=steps, batch=2, precision="float32", **settings)
    return student.train(Teacher(), synthesis(), wanted, seed=0)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_the_student_learns_and_a_second_run_ends_with_the_same_bits() -> None:
    first, rows = train_student(8, lr=0.05)
    again, _ = train_student(8, lr=0.05)
    assert equal(first, again)
    assert [number for number, _ in rows] == list(range(1, 9))
    assert rows[-1][1][0] < rows[0][1][0]
    assert not any(module.training for module in first.modules())


def test_a_loss_that_explodes_stops_with_a_sentence() -> None:
    with pytest.raises(Error, match="student: the loss is not finite at step 2; lower the learning rate"):
        train_student(3, lr=1e38)


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


def test_bfloat16_trains_too() -> None:
    settings = StudentSettings(steps=1, batch=2, precision="bfloat16")
    _, rows = student.train(Teacher(), synthesis(), settings, seed=0)
    assert 0 < rows[0][1][0] < 6
