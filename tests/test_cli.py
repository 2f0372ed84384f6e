"""The command line as a person meets it: help, versions, and mistakes that end in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from destseg import __version__
from destseg.model.weights import read_metadata

VERBS = (
    "try demo up ingest validate student segmentation memory evaluate package import-checkpoint register due compare "
    "promote turn-down recalibrate rollback history health trace predict"
)
GROUPS = {
    "dataset": "demo add check list",
    "preset": "list show use",
    "teacher": "fetch pretrain",
    "bench": "train infer metrics",
    "registry": "init",
}


def destseg(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "destseg", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )


def refused(folder: Path, *arguments: str) -> str:
    done = destseg(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_version(tmp_path: Path) -> None:
    assert destseg(tmp_path, "--version").stdout == f"{__version__}\n"


def test_help_names_every_verb_and_imports_nothing_heavy(tmp_path: Path) -> None:
    shown = destseg(tmp_path, "--help").stdout
    assert [verb for verb in [*VERBS.split(), *GROUPS] if verb not in shown] == []
    for group, verbs in GROUPS.items():
        shown = destseg(tmp_path, group, "--help").stdout
        assert [verb for verb in verbs.split() if verb not in shown] == []
    code = "import sys, destseg.cli; print(sorted({'torch', 'mlflow', 'boto3', 'numpy', 'prefect'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "verb", ["validate", "teacher fetch", "student", "segmentation", "memory", "package", "evaluate"]
)
def test_wrong_category_is_one_sentence(tmp_path: Path, verb: str) -> None:
    (tmp_path / "params.yaml").write_text("categories: {washer: {}}\n")
    said = refused(tmp_path, *verb.split(), "bolt")
    assert "category 'bolt' is not in params.yaml (there: washer)" in said
    assert len(said.splitlines()) == 1


def test_name_that_is_no_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("categories: {}\n")
    assert "expected 1 to 48 of a-z" in refused(tmp_path, "dataset", "add", "../x", "--from", str(tmp_path))


def test_broken_params_are_one_sentence_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("categories: {washer: {}\nimage: [\n")
    said = refused(tmp_path, "dataset", "check")
    assert "params.yaml cannot be read as YAML" in said
    assert "line" in said
    assert len(said.splitlines()) == 1


def test_missing_dataset_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("categories: {washer: {}}\n")
    assert "neither data/mvtec/washer nor data/mvtec/washer.dvc exists" in refused(tmp_path, "dataset", "check")


def test_a_category_fetches_its_own_teacher(tmp_path: Path) -> None:
    text = "teacher: {source: imagenet}\ncategories: {washer: {teacher: {source: formula}}, fabric: {}}\n"
    (tmp_path / "params.yaml").write_text(text)
    assert destseg(tmp_path, "teacher", "fetch", "washer").returncode == 0
    (written,) = (tmp_path / "build").rglob("*.safetensors")
    assert written.relative_to(tmp_path) == Path("build/washer/teacher.safetensors")
    assert read_metadata(written)["source"] == "formula"


def test_folder_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    said = refused(tmp_path, "predict", str(tmp_path), "image.png")
    assert "is no model: expected a folder with model.json" in said


def test_precision_of_an_exported_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    said = refused(tmp_path, "predict", "--precision", "bfloat16", "model.onnx", "image.png")
    assert "model.onnx fixes its own precision, float32" in said
    assert len(said.splitlines()) == 1


def test_precision_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    said = refused(tmp_path, "predict", "--precision", "half", "model", "image.png")
    assert all(name in said for name in ("float32", "bfloat16", "auto"))


def test_up_says_where_it_has_to_be_run_and_what_json_belongs_to(tmp_path: Path) -> None:
    assert "has no prefect.yaml; run `destseg up` in the root of the project" in refused(tmp_path, "up")
    assert "--json belongs to --check" in refused(tmp_path, "up", "--json")
    assert destseg(tmp_path, "up", "--check").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_the_policy_decides_about_the_challenger_alone(tmp_path: Path) -> None:
    for other in (["--again"], ["--version", "7"]):
        assert "leave out --again and --version" in refused(tmp_path, "compare", "washer", "--policy", *other)


def test_wrong_argument_is_a_usage_error(tmp_path: Path) -> None:
    assert destseg(tmp_path, "validate").returncode == 2
    assert destseg(tmp_path, "fly").returncode == 2


def test_presets_are_listed_shown_and_used(tmp_path: Path) -> None:
    listed = destseg(tmp_path, "preset", "list").stdout
    assert [line.partition(":")[0] for line in listed.splitlines()] == ["compact", "paper"]
    assert "lr: 0.4" in destseg(tmp_path, "preset", "show", "paper").stdout
    assert "params.yaml is not in" in refused(tmp_path, "preset", "use", "compact")
    (tmp_path / "params.yaml").write_text("categories:\n  bolt: {}  # mine\n")
    assert "preset 'papr' does not exist; expected one of compact, paper" in refused(tmp_path, "preset", "use", "papr")
    assert "category 'nut' is not in params.yaml (there: bolt)" in refused(tmp_path, "preset", "use", "paper", "nut")
    used = json.loads(destseg(tmp_path, "preset", "use", "compact", "bolt", "--json").stdout)
    assert used["retrained"] == {"bolt": "compact"}
    assert "already" in destseg(tmp_path, "preset", "use", "compact", "bolt").stdout
    assert "  bolt:  # mine\n" in (tmp_path / "params.yaml").read_text()
    listed = json.loads(destseg(tmp_path, "preset", "list", "--json").stdout)
    assert (listed["top_level"], listed["categories"]) == ("paper", {"bolt": "compact"})
