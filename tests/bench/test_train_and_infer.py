"""The benchmark gives what it promises, on the command line and where only torch is installed."""

import json
import os
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from destseg.bench import __main__ as program
from destseg.bench import compact_infer
from destseg.bench.compact_train import CompactTraining
from destseg.bench.infer import InferFigures, infer
from destseg.bench.machine import gflop
from destseg.bench.stages import OWN_SHARE, SEGMENTATION, STUDENT, WIDTHS
from destseg.bench.train import train
from destseg.cli.bench import app
from destseg.model.student import Network
from destseg.presets.preset import load

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
    options = ("--size=64", "--batch=2", "--width=256", "--steps=1", "--alone", "--json")
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
    assert isinstance(found, InferFigures)
    assert found.precision == "bfloat16"
    assert 0 < found.score_error < 0.1
    exact = infer(CPU, size=64, batch=1, width=8, precision="float32", repeats=1)
    assert isinstance(exact, InferFigures)
    assert exact.score_error < 1e-5


def test_compact_is_trained_beside_the_papers_network_in_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("destseg.bench.compact_train.has_bfloat16", lambda _: True)
    found = train(CPU, network="compact", size=64, batch=2, width=8, images=2, steps=1)
    assert isinstance(found, CompactTraining)
    assert [(way.network, way.precision) for way in found.ways] == [
        (network, precision) for network in ("compact", "paper") for precision in ("float32", "bfloat16")
    ]
    for way in found.ways:
        apart = 1 / way.stage1.images_per_s.median + 1 / way.stage2.images_per_s.median
        assert way.both.median == pytest.approx(1 / apart, rel=0.05)
    assert found.ratio_float32 is not None
    single = {way.network: way.both.median for way in found.ways if way.precision == "float32"}
    assert found.ratio_float32.median == pytest.approx(single["compact"] / single["paper"], rel=0.05)
    work = {way.network: way.stage1.gflop_per_image + way.stage2.gflop_per_image for way in found.ways}
    assert work["compact"] < work["paper"] / 10
    assert "| compact, bfloat16 | " in str(found)


def test_compact_alone_is_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTSEG_DEVICE", "cpu")
    options = ("--network=compact", "--alone", "--size=64", "--batch=2", "--steps=1", "--json")
    done = CliRunner().invoke(app, ["train", *options], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert {way["network"] for way in found["ways"]} == {"compact"}
    assert found["ratio_float32"] is found["ratio_best"] is None
    assert (found["width"], found["auto"][0] in ("float32", "bfloat16")) == (48, True)


def test_compact_scores_beside_the_papers_network_exported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_infer, "has_bfloat16", lambda _: False)
    found = infer(CPU, network="compact", size=64, batch=1, width=8, repeats=1)
    assert isinstance(found, compact_infer.CompactInference)
    runs = [(way.network, way.runs) for way in found.ways]
    assert runs == [
        (network, how) for network in ("paper", "compact") for how in ("torch, float32", "onnxruntime, float32")
    ]
    assert all(way.score_error < 1e-4 for way in found.ways)
    assert found.best["compact"] in ("torch, float32", "onnxruntime, float32")
    assert f"over the paper's network, both in torch and float32: {found.ratio_float32.median}x" in str(found)


def test_where_onnxruntime_is_not_installed_torch_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_infer, "EXPORTS", ("onnx", "no_such_library"))
    monkeypatch.setattr(compact_infer, "has_bfloat16", lambda _: True)
    found = infer(CPU, network="compact", size=64, batch=1, width=8, repeats=1)
    assert isinstance(found, compact_infer.CompactInference)
    assert [way.runs for way in found.ways] == ["torch, float32", "torch, bfloat16"] * 2


@pytest.mark.parametrize("network", ["paper", "compact"])
def test_what_is_measured_is_what_the_preset_trains(network: Network) -> None:
    for section, settings in (("student", STUDENT[network]), ("segmentation", SEGMENTATION[network])):
        wanted = {name: value for name, value in load(network).sections[section].items() if name != "batch"}
        assert {name: getattr(settings, name) for name in wanted} == wanted
    assert load(network).sections["synthesis"]["own_share"] == OWN_SHARE[network]
    assert load(network).sections["segmentation"]["width"] == WIDTHS[network]


def test_a_depthwise_gradient_counts_as_the_convolution_does() -> None:
    conv, x = torch.nn.Conv2d(16, 16, 3, groups=16, bias=False), torch.randn(1, 16, 10, 10, requires_grad=True)
    assert gflop(lambda: conv(x).sum().backward()) == pytest.approx(3 * 2 * 16 * 8 * 8 * 9 / 1e9)


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


def test_what_belongs_to_the_other_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "train", "--network", "compact", "--workers", "2")
    assert "workers and paper belong to the bench of the network `paper`" in str(said)
    said = refused(monkeypatch, "infer", "--network", "compact", "--precision", "bfloat16")
    assert "compact is measured in every one" in str(said)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(monkeypatch, "infer", "--device", "cuda:99")
    assert "device 'cuda:99' (DESTSEG_DEVICE) cannot be used" in str(said)
