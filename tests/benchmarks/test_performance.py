"""docs/performance.md shows what was measured, and bfloat16 is emulated as the hardware computes it."""

import json
from pathlib import Path

import torch
from torch import nn

from benchmarks import performance, precision
from benchmarks.bfloat16 import Bfloat16

GUIDE = Path(__file__).parents[2] / "docs" / "performance.md"


def shown() -> list[str]:
    return GUIDE.read_text(encoding="utf-8").splitlines()


def test_the_guide_shows_every_recorded_machine() -> None:
    records = json.loads(performance.RESULTS.read_text(encoding="utf-8"))
    assert records
    wanted = [line for record in records for line in performance.table(record).splitlines()]
    assert [line for line in wanted if line not in shown()] == []


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
