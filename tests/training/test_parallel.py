"""Two processes that share a batch train as one process does with the whole of it. torchrun runs this file, too."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from destseg import Error
from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.training import parallel, segmentation, student
from destseg.training.synthesis import Batch, Synthesis, SynthesisSettings, seeded
from tests.compact import lite0

CPU = torch.device("cpu")
SHORT: dict[str, Any] = {"steps": 3, "precision": "float32"}
Weights = dict[str, Tensor]


def synthesis() -> Synthesis:
    generator = seeded(0, "pictures")
    images, textures = (torch.randint(0, 256, (6, 3, 96, 96), generator=generator, dtype=torch.uint8) for _ in "ab")
    settings = SynthesisSettings(crop=64, flips="both", max_degrees=5, own_share=0.5)
    return Synthesis(images, textures[..., :64, :64], settings, seeded(0, "training"), share=parallel.share())


def train_both(batch: int = 4) -> tuple[Weights, ...]:
    """Both stages of the paper's network, then of the compact one."""
    torch.manual_seed(0)
    teacher = new_teacher()
    settings = student.StudentSettings(lr=1e-4, batch=batch, **SHORT)
    learnt, _ = student.train(teacher, synthesis(), settings, seed=1)
    torch.manual_seed(2)
    wanted = segmentation.SegmentationSettings(width=8, lr_res=0.01, lr_head=0.01, batch=batch, **SHORT)
    outlines, _ = segmentation.train(teacher, Student(), synthesis(), wanted, seed=1)
    small = student.StudentSettings(network="compact", lr=1e-4, batch=batch, **SHORT)
    compact, _ = student.train(lite0(), synthesis(), small, seed=1)
    torch.manual_seed(2)
    beside = Student("efficientnet-lite0", network="compact")  # not `compact`, whose statistics are one process's own
    beside.start_from(lite0())
    theirs, _ = segmentation.train(lite0(), beside, synthesis(), wanted, seed=1)
    return weights(learnt), weights(outlines), weights(compact), weights(theirs)


def weights(module: nn.Module) -> Weights:
    """Without BatchNorm's running statistics, which on a processor are the first process's own."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, tuple[Weights, ...]]:
    """What two processes said of a batch of 3, and the weights that they trained with one of 4."""
    path = tmp_path_factory.mktemp("torchrun") / "two.pt"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options, __file__, path],
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "DESTSEG_DEVICE": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    refused, trained = torch.load(path, weights_only=True)
    return refused, trained


def test_two_processes_end_with_the_weights_of_one(
    found: tuple[str, tuple[Weights, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = nn.BatchNorm2d.forward

    def by_halves(self: nn.BatchNorm2d, x: Tensor) -> Tensor:
        """On processors each process normalises its own share."""
        return torch.cat([plain(self, half) for half in x.chunk(2)]) if self.training else plain(self, x)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", by_halves)
    expected = train_both()
    monkeypatch.undo()
    whole = train_both()  # over the whole batch: another training, so that the comparison can fail
    starts = [weights(module) for module in untrained()]
    # Of the compact student 0.05 was seen beside 2.7 for the whole batch.
    for two, one, other, start, bound in zip(found[1], expected, whole, starts, (0.02, 0.02, 0.1, 0.02), strict=True):
        assert apart(two, one, start) < bound
        assert apart(two, other, start) > 0.2


def untrained() -> list[nn.Module]:
    """What the trainings begin with."""
    found: list[nn.Module] = []
    for network, teacher in (("paper", new_teacher()), ("compact", lite0())):
        torch.manual_seed(1)
        first = Student(teacher.name, network=network)
        if network == "compact":
            first.start_from(teacher)
        torch.manual_seed(1)
        found += [first, segmentation.Segmentation(8, channels=teacher.channels)]
    return found


def apart(found: Weights, expected: Weights, start: Weights) -> float:
    """Distance of the two from each other, as a share of the way from the start."""
    way = sum((expected[name] - start[name]).square().sum().item() for name in start) ** 0.5
    return sum((expected[name] - found[name]).square().sum().item() for name in start) ** 0.5 / way


def test_shares_together_are_the_batch() -> None:
    images = torch.randint(0, 256, (6, 3, 64, 64), generator=seeded(0, "pictures"), dtype=torch.uint8)

    def batch(index: int, count: int) -> Batch:
        settings = SynthesisSettings(quarter_turns=True, own_share=0.5, grey=True, flips="horizontal")
        return Synthesis(images, images, settings, seeded(0, "x"), share=(index, count)).batch(6)

    parts = [batch(index, 3) for index in range(3)]
    for whole, pieces in zip(batch(0, 1), zip(*parts, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(pieces))


def test_a_batch_that_cannot_be_shared_out_is_refused(found: tuple[str, tuple[Weights, ...]]) -> None:
    assert "batch is 3, expected a multiple of the 2 processes that torchrun started" in found[0]


def test_a_share_of_one_image_cannot_be_normalised_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "share", lambda _=None: (0, 2))
    wanted = segmentation.SegmentationSettings(width=8, batch=2)
    with pytest.raises(Error, match="batch is 2, expected at least 2 for each of 2 processes"):
        segmentation.prepared(new_teacher(), Student(), synthesis(), wanted, seed=0)


def test_alone_nothing_is_wrapped() -> None:
    module = nn.Linear(1, 1)
    assert parallel.distributed_module(module, CPU) is module
    assert parallel.share(3) == (0, 1)
    assert parallel.agreed("mine") == "mine"
    with parallel.joined(CPU) as device:
        assert device == CPU


def refusal(batch: int) -> str:
    """What the error says; empty when the batch is trained with."""
    try:
        train_both(batch)
    except Error as error:
        return str(error)
    return ""


if __name__ == "__main__":
    with parallel.joined(CPU):
        saved = refusal(3), train_both()
        assert parallel.agreed(parallel.share()) == (0, 2)
        if parallel.first():
            torch.save(saved, sys.argv[1])
