"""docs/performance.md shows what was measured, and bfloat16 is emulated as the hardware computes it."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from benchmarks import busy, performance, precision
from benchmarks.bfloat16 import Bfloat16
from destseg.bench.compact_infer import CompactInference
from destseg.bench.compact_infer import Way as Scoring
from destseg.bench.compact_train import CompactTraining, StageRate, Way
from destseg.bench.machine import Spread, describe
from destseg.tuning import SPINS

GUIDE = Path(__file__).parents[2] / "docs" / "performance.md"


def shown() -> list[str]:
    return GUIDE.read_text(encoding="utf-8").splitlines()


def test_the_guide_shows_every_recorded_machine() -> None:
    records = json.loads(performance.RESULTS.read_text(encoding="utf-8"))
    assert records
    wanted = [line for record in records for line in performance.table(record).splitlines()]
    assert [line for line in wanted if line not in shown()] == []


def test_a_record_of_compact_has_its_own_tables() -> None:
    rate, machine = Spread(median=2.0, low=1.0, high=3.0), describe(torch.device("cpu"))
    stage = StageRate(images_per_s=rate, gflop_per_image=7.1, fraction_of_peak=0.5)
    train = CompactTraining(
        machine=machine,
        size=256,
        batch=8,
        width=48,
        images=16,
        peak_gflops={"float32": 150.0},
        ways=[Way(network="compact", precision="float32", stage1=stage, stage2=stage, both=rate)],
        auto=["float32", "bfloat16"],
        best={"compact": ["float32", "float32"], "paper": ["float32", "float32"]},
        ratio_float32=rate,
        ratio_best=rate,
        peak_memory_mb=900.0,
        load_before=0.1,
    )
    way = Scoring(
        network="compact",
        runs="torch, float32",
        images_per_s=rate,
        milliseconds=500.0,
        gflop_per_image=3.0,
        fraction_of_peak=0.4,
        score_error=0.0,
        map_error=0.0,
    )
    infer = CompactInference(
        machine=machine,
        size=256,
        batch=1,
        width=48,
        peak_gflops={"float32": 150.0},
        ways=[way],
        best={"compact": "torch, float32", "paper": "torch, float32"},
        ratio_float32=rate,
        ratio_best=rate,
        load_before=0.1,
    )
    record = json.loads(performance.RESULTS.read_text(encoding="utf-8"))[0]
    record.pop("compact", None)
    measured = json.loads(json.dumps({"train": asdict(train), "memory": asdict(train), "infer": [asdict(infer)]}))
    lines = performance.table(record | {"compact": measured}).splitlines()
    assert lines[: len(performance.table(record).splitlines())] == performance.table(record).splitlines()
    row = "| compact, float32 | 2.0 (1.0 to 3.0) | 2.0 (1.0 to 3.0) | 2.0 (1.0 to 3.0) | 7.1 and 7.1 | 50% and 50% |"
    assert row in lines
    assert "| compact, torch, float32 | 2.0 (1.0 to 3.0) | 500.0 | 3.0 | 40% | 0.0e+00 and 0.0e+00 |" in lines
    assert lines[-1] == "Peak memory, 16 images, batch 8: 900.0 MB."


def test_the_busy_process_ends_with_its_measurement_and_the_table_has_the_ratios() -> None:
    with busy.busy(True) as process:
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None
    found = {(spins, beside): 1.0 + 2 * beside for spins in (SPINS, busy.DEFAULT_SPINS) for beside in (False, True)}
    assert busy.table(found).splitlines()[2] == f"| {SPINS}, destseg/tuning.py | 1.000 | 3.000 | 3.00x |"


def test_the_guide_shows_both_precisions_over_the_seeds() -> None:
    records = json.loads(precision.RESULTS.read_text(encoding="utf-8"))
    assert {(record["name"], record["seed"]) for record in records} == {
        (name, seed) for name in ("float32", "bfloat16") for seed in precision.SEEDS
    }
    assert [line for line in precision.table(records).splitlines() if line not in shown()] == []


def test_each_seed_is_trained_in_both_precisions() -> None:
    plan = [(run.name, run.seed, run.settings["student"]["precision"]) for run in precision.runs("tiles")]
    assert plan == [(name, seed, name) for seed in precision.SEEDS for name in ("float32", "bfloat16")]


def test_emulated_bfloat16_is_what_torch_computes() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(8, 4, 3, padding=1), torch.randn(2, 8, 6, 6)

    def outcome() -> tuple[torch.Tensor, torch.Tensor]:
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(x)
        assert y.dtype == torch.bfloat16
        y.float().square().sum().backward()
        assert conv.weight.grad is not None
        return y, conv.weight.grad

    expected = outcome()
    with Bfloat16():
        found = outcome()
        assert conv(x).dtype == torch.float32  # outside of autocast
    for one, other, plain in zip(found, expected, (conv(x), None), strict=True):
        assert (one - other).abs().max() <= 2**-7 * other.abs().max()
        assert plain is None or not torch.equal(one.float(), plain)
