"""`precision: auto` is measured on the stage that is trained, and a training that goes on keeps what it began in."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.training import loop, precision, segmentation, student
from destseg.training.checkpoint import Checkpoint, checkpoint
from destseg.training.segmentation import SegmentationSettings
from destseg.training.student import StudentSettings
from destseg.training.synthesis import Batch, Synthesis, SynthesisSettings, seeded

AUTO = StudentSettings(steps=4, batch=2, lr=0.01, encoder_decoder=False)


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(precision, "_CHOSEN", {})


def takes(monkeypatch: pytest.MonkeyPatch, **times: float) -> list[str]:
    """Lets a pass take this time in each precision; the precisions that were tried, in turn."""
    tried: list[str] = []

    def taken(training: loop.Training, batch: Batch) -> float:
        tried.append(training.precision)
        assert batch.normal.shape == (2, 3, 64, 64)
        return times[training.precision]

    monkeypatch.setattr(precision, "processor_seconds", taken)
    return tried


def source() -> Synthesis:
    generator = seeded(0, "pictures")
    images, textures = (torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8) for _ in "ab")
    return Synthesis(images, textures, SynthesisSettings(), seeded(0, "training"))


def trained(settings: StudentSettings, saved: Checkpoint | None = None) -> dict[str, Any]:
    torch.manual_seed(1)
    return student.train(new_teacher(), source(), settings, seed=0, checkpoint=saved)[0].state_dict()


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("half", "chosen"), [(0.79, "bfloat16"), (0.81, "float32"), (2.0, "float32")])
def test_bfloat16_has_to_save_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch, half: float, chosen: str) -> None:
    tried = takes(monkeypatch, float32=1.0, bfloat16=half)
    training = student.prepared(new_teacher(), source(), AUTO, seed=0)[1]
    assert training.precision == chosen
    assert tried == ["float32", "bfloat16"] * 2, "in turns, the first of which warms up"


def test_each_stage_decides_for_itself_once_a_process_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="destseg")
    tried = takes(monkeypatch, float32=1.0, bfloat16=0.5)
    for _ in range(2):
        student.prepared(new_teacher(), source(), AUTO, seed=0)
    outlines = SegmentationSettings(batch=2, width=8)
    monkeypatch.setattr(precision, "processor_seconds", lambda training, _: float(training.precision == "bfloat16"))
    assert segmentation.prepared(new_teacher(), Student(), source(), outlines, seed=0)[1].precision == "float32"
    assert len(tried) == 4
    assert (
        "student: precision auto is bfloat16 (1000 ms of processor time in float32, 500 ms in bfloat16)" in caplog.text
    )
    assert caplog.text.count("precision auto is") == 2


def test_where_there_is_no_bfloat16_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: False)
    monkeypatch.setattr("destseg.model.device.has_bfloat16", lambda _: False)
    tried = takes(monkeypatch)
    assert student.prepared(new_teacher(), source(), AUTO, seed=0)[1].precision == "float32"
    assert tried == []


def test_trying_changes_nothing_of_what_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = precision.processor_seconds
    monkeypatch.setattr(
        precision,
        "processor_seconds",
        lambda training, batch: plain(training, batch) * (training.precision == "float32"),
    )
    assert equal(trained(AUTO), trained(replace(AUTO, precision="bfloat16")))


def test_a_training_goes_on_in_the_precision_that_it_began_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="destseg")
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    monkeypatch.setenv("DESTSEG_CHECKPOINT_SECONDS", "1e-6")
    takes(monkeypatch, float32=1.0, bfloat16=0.5)

    def killed(training: loop.Training, saved: Checkpoint | None) -> list[loop.Row]:
        left = [2]

        def loss(batch: Batch) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return training.loss(batch)

        return plain(replace(training, loss=loss), saved)

    def interrupted() -> None:
        with monkeypatch.context() as patch, checkpoint("bolt-student", {}) as saved:
            patch.setattr(loop, "run", killed)
            trained(AUTO, saved)

    plain = loop.run
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    monkeypatch.setattr(precision, "_CHOSEN", {})  # another process, ...
    tried = takes(monkeypatch, float32=1.0, bfloat16=1.0)  # ... which would decide otherwise
    with checkpoint("bolt-student", {}) as saved:
        found = trained(AUTO, saved)
    assert tried == []
    assert "student: going on after step 2, in bfloat16, from " in caplog.text
    assert equal(found, trained(replace(AUTO, precision="bfloat16")))


def test_a_file_that_is_no_state_says_nothing_of_a_precision(tmp_path: Path) -> None:
    for content in (b"", b"text"):
        (tmp_path / "x.pt").write_bytes(content)
        assert Checkpoint(tmp_path / "x.pt", every=1).precision() is None
    torch.save({"precision": "float64"}, tmp_path / "x.pt")
    assert Checkpoint(tmp_path / "x.pt", every=1).precision() is None
    assert Checkpoint(tmp_path / "y.pt", every=1).precision() is None
