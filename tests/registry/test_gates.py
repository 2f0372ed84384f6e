from pathlib import Path

import pytest

from destseg.registry import gates

TAGS = dict.fromkeys(gates.LINEAGE, "x") | {"git_clean": "true"}


def by_name(found: list[gates.Gate]) -> dict[str, gates.Gate]:
    return {gate.name: gate for gate in found}


def test_a_minimum_that_is_not_set_is_no_gate(tmp_path: Path) -> None:
    assert set(by_name(gates.run(gates.PromotionSettings(), {}, TAGS, tmp_path))) == {"parity", "lineage"}


def test_a_metric_on_its_limit_passes_and_one_that_is_missing_fails(tmp_path: Path) -> None:
    settings = gates.PromotionSettings(min_pro=0.8, min_iap=0.5)
    found = by_name(gates.run(settings, {"pro": 0.8}, TAGS, tmp_path))
    assert found["pro"].passed
    assert not found["iap"].passed
    assert found["iap"].why == "metrics.json of the candidate has no iap"


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ('{"tolerance": 0.001, "largest_difference": {"model.onnx": 1e-6, "model.safetensors": 0.0}}', True),
        ('{"tolerance": 0.001, "largest_difference": {"model.onnx": 0.01, "model.safetensors": 0.0}}', False),
        ('{"tolerance": 0.001, "largest_difference": {"model.safetensors": 0.0}}', False),
        ('{"tolerance": 0.001, "largest_difference": {}}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_parity_must_be_stated_for_every_model_file(text: str, passed: bool, tmp_path: Path) -> None:
    for name in ("model.onnx", "model.safetensors", "model.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "parity.json").write_text(text)
    assert by_name(gates.run(gates.PromotionSettings(), {}, TAGS, tmp_path))["parity"].passed is passed


def test_lineage_names_what_is_missing(tmp_path: Path) -> None:
    found = by_name(gates.run(gates.PromotionSettings(), {}, {**TAGS, "commit": ""}, tmp_path))
    assert not found["lineage"].passed
    assert found["lineage"].why == "the version has no commit"
