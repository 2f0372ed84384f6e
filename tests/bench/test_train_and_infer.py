"""The benchmark gives what it promises, on the command line and where only torch is installed."""

import json
import os
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from destseg.bench import __main__ as program
from destseg.bench.infer import infer
from destseg.cli.bench import app

CPU = torch.device("cpu")
STAGE = {
    "images_per_s",
    "spread",
    "naive_images_per_s",
    "ratio",
    "gflop_per_image",
    "fraction_of_peak",
    "outside_arithmetic",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DESTSEG_DEVICE": "cpu"}
    return subprocess.run([sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True)


def test_training_is_measured_beside_the_naive_loop_and_the_peak() -> None:
    done = run("destseg.bench", "train", "--size=64", "--batch=2", "--width=8", "--steps=1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"machine", "peak_gflops", "peak_memory_mb", "load_before"} <= found.keys()
    for stage in (found["stage1"], found["stage2"]):
        assert stage.keys() == STAGE
        assert stage["spread"][0] <= stage["images_per_s"] <= stage["spread"][1]
        assert stage["ratio"] == pytest.approx(stage["images_per_s"] / stage["naive_images_per_s"], rel=0.05)
        assert 0 < stage["fraction_of_peak"] < 1
        assert 0 <= stage["outside_arithmetic"] < 1


def test_the_projects_command_measures_too_and_counts_operations_forward_and_backward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DESTSEG_DEVICE", "cpu")
    options = ("--size=64", "--batch=2", "--width=256", "--steps=1", "--no-naive", "--json")
    done = CliRunner().invoke(app, ["train", *options], catch_exceptions=False)
    assert done.exit_code == 0
    stages = [json.loads(done.stdout)[name] for name in ("stage1", "stage2")]
    for stage in stages:
        assert stage.keys() == STAGE
        assert stage["spread"][0] <= stage["images_per_s"] <= stage["spread"][1]
        assert stage["ratio"] is None
    counted = [stage["gflop_per_image"] * 16 for stage in stages]
    forward = 3.66 + 10.68  # of teacher and student, docs/method.md
    assert counted[0] == pytest.approx(3.66 + 3 * 10.68 - 0.31, abs=0.1)  # no gradient of images
    ours = 62.55 - 4.83  # the ASPP does not convolve a constant at every place
    shallow = 2 * 64 * 64 * 256 * 448 * (9 + 1) / 1e9  # no gradient of what the segmentation net sees
    assert counted[1] == pytest.approx(
        forward + 3 * ours - shallow,
        abs=0.6,  # nine places stand for all: at 64x64 a larger share
    )


def test_scoring_is_measured_and_its_error_with_it() -> None:
    found = infer(CPU, size=64, batch=2, width=8, precision="bfloat16", repeats=1)
    assert found.precision == "bfloat16"
    assert 0 < found.score_error < 0.1
    assert infer(CPU, size=64, batch=1, width=8, precision="float32", repeats=1).score_error < 1e-5


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """What `python -m destseg.bench` ends with; in this process, as its start imports torch for 3 CPU seconds."""
    monkeypatch.setattr(sys, "argv", ["destseg.bench", *arguments])
    for name in ("THP_MEM_ALLOC_ENABLE", "MALLOC_ARENA_MAX"):  # a user's choice: nothing is tuned for later tests
        monkeypatch.setenv(name, "1")
    with pytest.raises(SystemExit) as ended:
        program.main()
    return ended.value.code


def test_an_option_of_another_bench_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(monkeypatch, "metrics", "--batch", "3") == 2
    assert "metrics has no option --batch" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "infer", "--device", "cuda:99")
    assert "device 'cuda:99' (DESTSEG_DEVICE) cannot be used" in str(said)
