"""Each gate alone, on a comparison made by hand: on which side of its limit it passes, and what it says."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from destseg.inference.package import TOLERANCE
from destseg.registry import gates
from destseg.registry.gates import Facts, Gate
from destseg.registry.promotion_settings import PromotionSettings

from ..comparisons import content

PARITY = json.dumps({"tolerance": 1e-3, "largest_difference": {"model.onnx": 1e-6, "model.safetensors": 0.0}})
TAGS = dict.fromkeys(gates.LINEAGE, "x") | {"git_clean": "true", "files": '{"model.onnx": "", "model.json": ""}'}
UNASKED = PromotionSettings(max_image_auroc_loss=None, max_pixel_ap_loss=None, max_recall_loss=None)


def run(settings: PromotionSettings, compared: dict[str, Any] | None, **facts: Any) -> dict[str, Gate]:
    known = {"tags": TAGS, "parity": PARITY, "comparison": compared, **facts}
    return {gate.name: gate for gate in gates.run(settings, Facts(**known))}


def test_the_gates_come_in_one_order_and_those_against_a_champion_only_where_there_is_one() -> None:
    settings = PromotionSettings(
        min_pro=0.5, max_false_reject_rate=0.1, golden=("test/good/000.png",), max_latency_ms=50
    )
    against = list(run(settings, content(champion=3)))
    losses = ["image_auroc_loss", "pixel_ap_loss", "recall"]
    assert against == ["compared", "pro", *losses, "false_rejects", "golden", "parity", "latency", "lineage"]
    assert list(run(settings, content())) == [name for name in against if name not in losses]
    assert list(run(UNASKED, content(champion=3))) == ["compared", "parity", "lineage"]
    assert all(gate.passed for gate in run(PromotionSettings(), content(champion=3)).values())


def test_without_a_comparison_nothing_is_measured_and_the_gate_says_what_to_do() -> None:
    found = run(PromotionSettings(min_pro=0.5), None, missing="it was not compared yet; run `destseg compare x`")
    assert {name: gate.passed for name, gate in found.items()} == {"compared": False, "parity": True, "lineage": False}
    assert found["compared"].why == "it was not compared yet; run `destseg compare x`"
    assert "not known before a comparison" in found["lineage"].why


def test_a_comparison_is_of_this_candidate_and_this_champion() -> None:
    compared, candidate = content(champion=3), "models:/destseg-washer-candidates/2"
    assert gates.mismatch(compared, candidate, "models:/destseg-washer/3") == ""
    assert gates.mismatch(content(), candidate, "") == ""
    assert "/2 as challenger, expected models:/destseg-washer-candidates/4" in gates.mismatch(
        compared, "models:/destseg-washer-candidates/4", "models:/destseg-washer/3"
    )
    assert "/3 as champion, expected models:/destseg-washer/5" in gates.mismatch(
        compared, candidate, "models:/destseg-washer/5"
    )
    assert "has none as champion" in gates.mismatch(content(), candidate, "models:/destseg-washer/3")
    assert "expected none" in gates.mismatch(compared, candidate, "")


def test_what_a_challenger_was_trained_on_must_be_known() -> None:
    compared = content(champion=3)
    compared["trained_on"]["challenger"] = None
    found = run(PromotionSettings(), compared)["compared"]
    assert (found.passed, "cannot be read, so it may have seen these" in found.why) == (False, True)


@pytest.mark.parametrize(
    "part", ["kinds", "challenger", "differences", "images", "dataset_version", "trained_on", "clean", "pushed"]
)
def test_what_is_no_comparison_passes_no_gate_and_breaks_nothing(part: str) -> None:
    """Whoever may train could have written it."""
    compared = content(champion=3)
    del compared[part]
    settings = PromotionSettings(max_false_reject_rate=0.1, golden=("test/good/000.png",))
    found = run(settings, compared)
    assert not found["compared"].passed
    assert "is not what `destseg compare` writes" in found["compared"].why


def test_a_defect_type_that_the_champion_was_not_measured_on_is_no_comparison() -> None:
    compared = content(champion=3)
    del compared["champion"]["kinds"]["dent"]
    assert "is not what `destseg compare` writes" in run(PromotionSettings(), compared)["compared"].why


def test_a_metric_on_its_minimum_passes_and_one_that_is_undefined_fails() -> None:
    compared = content(metrics={"pro": 0.8, "iap": None})
    found = run(PromotionSettings(min_pro=0.8, min_iap=0.5), compared)
    assert (found["pro"].passed, found["pro"].why) == (True, "PRO is 0.8000, at least 0.8 of params.yaml")
    assert not found["iap"].passed
    assert found["iap"].why == "IAP is not defined on the images of this dataset version"
    assert not run(PromotionSettings(min_pro=0.8001), compared)["pro"].passed


@pytest.mark.parametrize(("low", "passed"), [(0.01, True), (0.0, True), (-0.02, True), (-0.0201, False)])
def test_a_loss_is_judged_by_the_lower_end_of_its_interval_not_by_the_difference(low: float, passed: bool) -> None:
    compared = content(champion=3)
    compared["differences"]["image_auroc"] = {"champion": 0.9, "challenger": 0.95, "low": low, "high": 0.1}
    found = run(PromotionSettings(), compared)
    assert found["image_auroc_loss"].passed is passed
    assert found["image_auroc_loss"].measured == f"+0.0500 ({low:+.4f} to +0.1000)"
    assert f"95 % interval {low:+.4f} to +0.1000" in found["image_auroc_loss"].why
    assert found["pixel_ap_loss"].passed


def test_a_loss_that_cannot_be_told_is_none_that_may_be_passed_over() -> None:
    compared = content(champion=3)
    compared["differences"]["pixel_ap"] = None
    found = run(PromotionSettings(), compared)["pixel_ap_loss"]
    assert (found.passed, found.measured) == (False, "nothing")


def test_one_defect_type_that_is_caught_less_often_fails_though_another_gains() -> None:
    compared = content(champion=3)
    compared["champion"]["kinds"]["scratch"]["caught"] = 19  # of 20: one more is 5 %, as much as may be lost
    compared["champion"]["kinds"]["dent"]["caught"] = 5
    assert run(PromotionSettings(), compared)["recall"].passed
    compared["champion"]["kinds"]["scratch"]["caught"] = 20
    found = run(PromotionSettings(), compared)["recall"]
    assert (found.passed, found.measured) == (False, "-0.1000 (scratch)")
    assert found.why == "scratch: 18 of 20 caught, the champion 20"
    assert run(PromotionSettings(max_recall_loss=0.1), compared)["recall"].passed


def test_recall_needs_the_thresholds_of_both_models() -> None:
    compared = content(champion=3)
    compared["champion"]["kinds"] = {kind: {"images": 10, "caught": None} for kind in ("dent", "scratch")}
    found = run(PromotionSettings(), compared)["recall"]
    assert not found.passed
    assert "a model has no threshold" in found.why


def test_false_rejects_are_counted_on_the_good_images_of_the_acceptance_set() -> None:
    compared = content()
    assert run(PromotionSettings(max_false_reject_rate=0.05), compared)["false_rejects"].passed
    found = run(PromotionSettings(max_false_reject_rate=0.04), compared)["false_rejects"]
    assert not found.passed
    assert found.why == (
        "1 of 20 good images are falsely rejected (0.1 to 24.9 % among all such parts), more than 4.0%"
    )
    compared["images"][0]["name"] = "train/good/000.png"
    assert (
        "threshold was taken from these"
        in run(PromotionSettings(max_false_reject_rate=0.1), compared)["false_rejects"].why
    )
    compared["challenger"]["false_rejects"] = None
    assert not run(PromotionSettings(max_false_reject_rate=1.0), compared)["false_rejects"].passed


@pytest.mark.parametrize(
    ("name", "rejected", "said"),
    [
        ("test/scratch/000.png", True, "every golden image is judged rightly"),
        ("test/scratch/000.png", False, "test/scratch/000.png is judged wrongly"),
        ("test/good/000.png", True, "test/good/000.png is judged wrongly"),
        ("test/good/000.png", None, "test/good/000.png is judged wrongly"),
        ("test/good/9.png", True, "test/good/9.png is not in the acceptance set: correct promotion.golden"),
    ],
)
def test_every_golden_image_has_to_be_judged_rightly(name: str, rejected: bool | None, said: str) -> None:
    compared = content()
    for row in compared["images"]:
        row["challenger"] = {
            **row["challenger"],
            "rejected": rejected if row["name"] == name else row["kind"] != "good",
        }
    found = run(PromotionSettings(golden=(name,)), compared)["golden"]
    assert (found.passed, found.why) == (said.startswith("every"), said)


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (PARITY, True),
        ('{"tolerance": 0.001, "largest_difference": {"model.onnx": 0.01, "model.safetensors": 0.0}}', False),
        ('{"tolerance": 0.1, "largest_difference": {"model.onnx": 0.01, "model.safetensors": 0.0}}', False),
        ('{"tolerance": NaN, "largest_difference": {"model.onnx": 0.0, "model.safetensors": 0.0}}', False),
        ('{"tolerance": 0.001, "largest_difference": {"model.safetensors": 0.0, "model.onnx": NaN}}', False),
        ('{"tolerance": 0.001, "largest_difference": {"model.safetensors": 0.0}}', False),
        ('{"tolerance": 0.001, "largest_difference": {}}', False),
        ("[]", False),
        ("", False),
    ],
)
def test_parity_must_be_stated_for_every_model_file(text: str, passed: bool) -> None:
    assert run(UNASKED, content(), parity=text)["parity"].passed is passed


def test_the_parity_that_is_asked_for_is_what_a_package_is_made_with() -> None:
    assert gates.PARITY == TOLERANCE


def test_latency_names_the_machine() -> None:
    found = run(PromotionSettings(max_latency_ms=40), content())["latency"]
    assert (found.passed, found.measured) == (True, "40 ms")
    assert "2 cores" in found.why
    assert not run(PromotionSettings(max_latency_ms=39.9), content())["latency"].passed


def test_lineage_names_what_is_missing() -> None:
    found = run(UNASKED, content(), tags={**TAGS, "commit": ""})["lineage"]
    assert (found.passed, found.why) == (False, "the version has no commit")
    assert not run(UNASKED, content(), tags={**TAGS, "git_clean": "false"})["lineage"].passed
    found = run(UNASKED, content() | {"clean": False})["lineage"]
    assert not found.passed
    assert "changes that were not committed when it was compared" in found.why
    found = run(UNASKED, content() | {"pushed": False})["lineage"]
    assert not found.passed
    assert "is not in the DVC remote; `dvc push` it" in found.why


def test_every_number_from_made_defects_says_so() -> None:
    settings = PromotionSettings(min_image_auroc=0.5)
    found = run(settings, content(champion=3) | {"synthetic": True})
    for name in ("image_auroc", "image_auroc_loss", "pixel_ap_loss", "recall"):
        assert "(synthetic defects)" in found[name].measured
        assert "(synthetic defects)" in found[name].why
    assert "30 synthetic defects" in found["compared"].why
    assert not any("synthetic" in gate.why for gate in run(settings, content(champion=3)).values())


@pytest.mark.parametrize("setting", [{"max_recall_loss": 1.5}, {"max_pixel_ap_loss": -0.1}, {"max_latency_ms": 0}])
def test_a_limit_that_can_be_no_limit_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))} is"):
        PromotionSettings(**setting)


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "an interval without a number": lambda found: found["differences"]["pixel_ap"].update(low=None),
    "a defect type of no image": lambda found: found["challenger"]["kinds"]["dent"].update(images=0),
    "no defect type": lambda found: found["challenger"].update(kinds={}),
    "a defect type left out": lambda found: found["challenger"]["kinds"].pop("dent"),
    "a part left out": lambda found: found.pop("differences"),
    "a list for a mapping": lambda found: found.update(challenger=[]),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_comparison_of_another_shape_counts_as_none(how: str) -> None:
    compared = content(champion=3)
    FORGED[how](compared)
    found = run(PromotionSettings(), compared)
    assert {name: gate.passed for name, gate in found.items()} == {"compared": False, "parity": True, "lineage": False}
    assert "is not what `destseg compare` writes" in found["compared"].why


def test_a_parity_report_of_a_thousand_brackets_is_none() -> None:
    assert not run(UNASKED, content(), parity="[" * 100_000)["parity"].passed
