"""The stage `validate`: accepted.json for a good dataset, the findings for every other."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from destseg import Error
from destseg.cli import app
from destseg.dataset.accepted import read_accepted
from destseg.validation import Rejected, ValidationSettings, validate

from .conftest import NORMALS, mask, photograph

BUILD = Path("build/tile")


def test_accepted_json_lists_every_normal_image_with_its_hash(dataset: Path) -> None:
    verdict = validate("tile")
    accepted = read_accepted("tile")
    names = [name for name, _ in accepted.training + accepted.calibration]
    assert sorted(names) == [f"train/good/{number:03}.png" for number in range(NORMALS)]
    assert accepted.training == sorted(accepted.training)
    assert (len(accepted.training), len(accepted.calibration)) == (verdict.training, verdict.calibration)
    for name, sha256 in accepted.training:
        assert hashlib.sha256((dataset / name).read_bytes()).hexdigest() == sha256


def test_a_new_defect_image_changes_nothing_in_accepted_json(dataset: Path) -> None:
    validate("tile")
    before = (BUILD / "accepted.json").read_bytes()
    photograph(dataset / "test/chip/000.png", 300)
    mask(dataset / "ground_truth/chip/000_mask.png")
    validate("tile")
    assert (BUILD / "accepted.json").read_bytes() == before


def test_a_new_normal_image_moves_no_old_one(dataset: Path) -> None:
    validate("tile")
    before = read_accepted("tile")
    photograph(dataset / "train/good/new.png", 400)
    validate("tile")
    after = read_accepted("tile")
    assert set(before.training) <= set(after.training)
    assert set(before.calibration) <= set(after.calibration)


def test_the_same_dataset_gives_the_same_bytes(repository: Path) -> None:
    assert repository
    validate("tile")
    before = {path.name: path.read_bytes() for path in BUILD.rglob("*.*") if path.is_file()}
    validate("tile")
    assert before == {path.name: path.read_bytes() for path in BUILD.rglob("*.*") if path.is_file()}
    assert set(before) == {"accepted.json", "validation.json", "index.html"}


def test_a_refused_dataset_leaves_the_findings_and_no_accepted_json(dataset: Path) -> None:
    validate("tile")
    (dataset / "train/good/000.png").write_bytes(b"")
    with pytest.raises(Rejected) as refusal:
        validate("tile")
    assert str(refusal.value).splitlines() == [
        "tile has 1 error; put them right and repeat the command:",
        "  train/good/000.png: is empty (0 bytes)",
        "All findings, with pictures: build/tile/validation/index.html",
    ]
    assert not (BUILD / "accepted.json").exists()
    report = json.loads((BUILD / "validation/validation.json").read_text())
    assert (report["accepted"], report["errors"]) == (False, 1)
    assert report["findings"][0]["file"] == "train/good/000.png"
    assert not refusal.value.verdict.accepted


def test_a_refusal_names_twenty_errors_and_counts_the_rest(dataset: Path) -> None:
    for number in range(23):
        (dataset / f"train/good/{number:03}.png").write_bytes(b"")
    with pytest.raises(Rejected) as refusal:
        validate("tile")
    lines = str(refusal.value).splitlines()
    errors = refusal.value.verdict.errors
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[-2] == f"  and {errors - 20} more"


def test_the_thresholds_come_from_params_yaml(repository: Path) -> None:
    (repository / "params.yaml").write_text("image: {size: 64}\ncategories: {tile: {validation: {min_side: 100}}}\n")
    with pytest.raises(Rejected, match="expected at least 100 each way"):
        validate("tile")


def test_a_dataset_that_is_not_there_says_how_to_get_it(repository: Path) -> None:
    (repository / "params.yaml").write_text("categories: {cable: {}}\n")
    with pytest.raises(Error, match="data/mvtec/cable does not exist; get it with `dvc pull`, or add it"):
        validate("cable")


def test_a_check_writes_nothing_to_the_log_but_its_own_progress(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert repository
    with caplog.at_level(logging.INFO):
        validate("tile")
    assert {record.name for record in caplog.records} == {"destseg.validation.validate"}


def test_the_verdict_reads_as_one_line_and_its_warnings(dataset: Path) -> None:
    path = dataset / "train/good/000.png"
    Image.open(path).convert("RGB").save(path)
    verdict = validate("tile")
    assert str(verdict) == (
        f"tile: accepted, {verdict.training} images for training, {verdict.calibration} for calibration\n"
        "  warning: dataset: images of two colour modes: 29 grey and 1 RGB (such as train/good/000.png)"
    )


@pytest.mark.parametrize(
    "wrong", [{"formats": ()}, {"blank_std": float("nan")}, {"blank_std": -1.0}, {"near_duplicate": 1.0}]
)
def test_thresholds_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
        ValidationSettings(**wrong)


def test_the_command_prints_every_finding_also_of_a_refused_dataset(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(23):
        (dataset / f"train/good/{number:03}.png").write_bytes(b"")
    Image.open(dataset / "test/good/000.png").save(dataset / "test/good/000.png", format="BMP")
    for options in ([], ["--json"]):
        with pytest.raises(Error, match=r"25 errors; .* with pictures: build/tile/validation/index\.html"):
            app(["validate", "tile", *options], standalone_mode=False)
        said = capsys.readouterr()
        if options:
            report = json.loads(said.out)
            assert not report["accepted"]
            assert len(report["findings"]) == report["errors"] + report["warnings"]
        else:
            assert said.out.count("is empty (0 bytes)") == 23
            assert "warning: test/good/000.png: holds BMP" in said.out
