"""`destseg dataset add` says which preset a category uses and how long each would train here, and fails by neither."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from destseg.cli.dataset import app
from destseg.dataset.demo import render_dataset
from destseg.presets import estimate as room
from destseg.storage import versions

TINY = "image: {size: 64}\nstudent: {encoder_decoder: false}\nsegmentation: {width: 8}\ncategories: {}\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a repository without a category, beside a folder with a dataset."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (root / "params.yaml").write_text(TINY)
    versions.git(root, "init", "--quiet")
    versions.use_cache(root, tmp_path / "cache")
    render_dataset(tmp_path / "washer", "washer", normals=4, test_normals=2, defects_per_kind=1, size=64)
    monkeypatch.chdir(root)
    monkeypatch.setenv("DESTSEG_DEVICE", "cpu")
    monkeypatch.setattr(room, "BUDGET_S", 0.0)
    monkeypatch.setattr(room, "TIMED", 1)
    return root


def add(*options: str) -> str:
    done = CliRunner().invoke(app, ["add", "washer", "--from", "../washer", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_answer_has_preset_and_times(root: Path) -> None:
    said = add("--preset", "compact")
    assert "washer: 6 normal and 5 defect images, preset compact. Next: git add" in " ".join(said.split())
    assert "compact about" in said
    assert "paper about" in said
    found = json.loads(add("--json"))
    assert (found["preset"], found["training_unknown"]) == ("compact", None)
    assert found["training"]["seconds"].keys() == {"compact", "paper"}
    assert yaml.safe_load((root / "params.yaml").read_text())["categories"]["washer"]["student"]["network"] == "compact"


def test_where_nothing_can_be_measured_the_dataset_is_added_and_the_reason_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DESTSEG_DEVICE", "cuda:99")
    found = json.loads(add("--json"))
    assert (found["preset"], found["training"]) == ("own settings", None)
    assert "device 'cuda:99' (DESTSEG_DEVICE) cannot be used" in found["training_unknown"]
    assert "washer is added; how long it would train could not be measured" in caplog.text
    assert (root / "data/mvtec/washer.dvc").is_file()
    assert json.loads(add("--json", "--no-estimate"))["training_unknown"] is None
