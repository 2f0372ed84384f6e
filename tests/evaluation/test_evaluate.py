"""The stage `evaluate` on a small dataset and untrained weights: what it writes, and what it says when parts lack."""

import contextlib
import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from destseg import Error, files
from destseg.dataset.accepted import Accepted
from destseg.dataset.images import ImageError
from destseg.dataset.layout import MEMORY, SEGMENTATION, STUDENT, TEACHER, build_dir, dataset_dir
from destseg.evaluation import origin
from destseg.evaluation.evaluate import evaluate
from destseg.evaluation.metrics import Metrics
from destseg.model.calibration import Calibration
from destseg.model.memory import save_memory
from destseg.model.segmentation import Segmentation
from destseg.model.student import Student
from destseg.model.teacher import new_teacher
from destseg.model.weights import save_weights

from ..packages import photograph

PARAMS = """
seed: 3
image: {size: 64}
student: {steps: 9}
categories:
  plate: {}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository's root with a dataset, the stages' outputs before `evaluate`, and random weights; the cwd."""
    root = tmp_path_factory.mktemp("repository")
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    with contextlib.chdir(root):
        (root / "params.yaml").write_text(PARAMS)
        data = dataset_dir("plate")
        for index in range(12):
            photograph(data / f"train/good/{index}.png", rng)
        for index in range(5):
            photograph(data / f"test/good/{index}.png", rng)
            photograph(data / f"test/<b>hole/{index}.png", rng, defect=True)
        save_weights(build_dir("plate") / TEACHER, new_teacher(), {"source": "formula", "sha256": "ab" * 32})
        trained = json.dumps({"seed": 3, "image": {"size": 64}, "student": {"steps": 7}})
        save_weights(build_dir("plate") / STUDENT, Student(), {"settings": trained})
        save_weights(build_dir("plate") / SEGMENTATION, Segmentation(16), {"width": "16"})
        save_memory(build_dir("plate") / MEMORY, None, {"settings": json.dumps({"memory": {"patches": 0}})})
        accept(range(8, 12))
        yield root


def accept(held_out):
    names = [(f"train/good/{index}.png", "00") for index in range(12)]
    calibration = [names[index] for index in held_out]
    training = [name for name in names if name not in calibration]
    Accepted(category="plate", training=training, calibration=calibration).write()


def read(name):
    return json.loads((build_dir("plate") / name).read_text())


@pytest.fixture(scope="module")
def evaluated(repository):
    """What a first run found."""
    with contextlib.chdir(repository):
        return evaluate("plate")


@pytest.fixture
def changeable(evaluated, repository, tmp_path):
    """A copy of the evaluated repository as the cwd (hard links: every writer replaces whole files)."""
    shutil.copytree(repository, tmp_path / "copy", copy_function=os.link)
    with contextlib.chdir(tmp_path / "copy"):
        yield evaluated


def test_metrics_json_holds_the_metrics_the_counts_and_their_rates(evaluated):
    found = read("metrics.json")
    assert found == evaluated.summary()
    assert {name: found[name] for name in evaluated.metrics.to_dict()} == evaluated.metrics.to_dict()
    assert (found["normal_images"], found["defect_images"]) == (5, 5)
    for rate, count in (("false_reject_rate", "false_rejects"), ("escape_rate", "escapes")):
        assert found[rate] == found[count] / 5
        assert 0 <= found[f"{rate}_low"] <= found[rate] <= found[f"{rate}_high"] <= 1


def test_the_scores_without_the_segmentation_net_have_metrics_of_their_own(evaluated):
    found = read("metrics.json")
    assert found["dest"] == evaluated.dest.to_dict()
    assert found["dest"].keys() == evaluated.metrics.to_dict().keys()
    assert found["dest"]["pixel_auroc"] != found["pixel_auroc"]
    assert "without the segmentation net (DeST): image_auroc" in str(evaluated)


def test_each_defect_type_has_its_escapes_and_metrics_in_a_file_and_on_the_command_line(evaluated):
    (row,) = read("evaluation/defect_types.json")
    metrics = read("metrics.json")
    assert (row["defect_type"], row["images"], row["escapes"]) == ("<b>hole", 5, metrics["escapes"])
    for name in ("escape_rate", "escape_rate_low", "escape_rate_high", "pixel_ap", "image_auroc"):
        assert row[name] == metrics[name]  # the only type is all defects
    assert evaluated.to_dict() == {**metrics, "defect_types": [row]}
    assert f"missed: {row['escapes']} of 5 (" in str(evaluated)


@pytest.mark.usefixtures("evaluated")
def test_the_calibration_comes_from_the_held_out_images_and_agrees_with_the_verdicts():
    calibration = Calibration.from_dict(read("calibration.json"))
    assert calibration.images == 4
    assert calibration.provable_rate == pytest.approx(1 - 0.05 ** (1 / 4))
    assert len(calibration.scores) == 4
    assert calibration.threshold == calibration.scores[-1]
    verdicts = read("evaluation/scores.json")
    assert [v["name"] for v in verdicts] == sorted(v["name"] for v in verdicts)
    assert [v["sha256"] for v in verdicts] == [files.sha256(dataset_dir("plate") / v["name"]) for v in verdicts]
    assert all(v["anomalous"] == (v["score"] > calibration.threshold) for v in verdicts)
    counted = sum(v["anomalous"] for v in verdicts if v["kind"] == "good")
    assert counted == read("metrics.json")["false_rejects"]


@pytest.mark.usefixtures("evaluated")
def test_curves_have_named_points_and_heatmaps_are_pictures():
    for name, axes in {"roc": {"fpr", "tpr"}, "pr": {"recall", "precision"}, "pro": {"fpr", "pro"}}.items():
        points = read(f"evaluation/curves/{name}.json")
        assert points
        assert all(point.keys() == axes for point in points)
    heatmaps = sorted((build_dir("plate") / "evaluation/heatmaps").iterdir())
    assert len(heatmaps) == 10
    assert Image.open(heatmaps[0]).size == (3 * 64 + 12, 64)


@pytest.mark.usefixtures("evaluated")
def test_the_report_stands_alone_and_says_how_the_truth_was_resized():
    page = (build_dir("plate") / "evaluation/report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\(|https?://""", page)
    assert page.count("data:image/jpeg") == 10
    text = shown()
    assert "masks are resized bilinearly to 64x64 pixels" in text
    assert "It takes 299 held-out normal images" in text
    assert "Network paper, teacher formula" in text
    assert f"teacher formula (backbone resnet18, licence: not recorded), from the file with SHA-256 {'ab' * 32}" in text
    assert "<b>hole" not in page
    assert "&lt;b&gt;hole" in page


def shown():
    """The report's text."""
    page = (build_dir("plate") / "evaluation/report.html").read_text()
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_report_names_the_settings_in_the_weights_not_those_of_params_yaml(evaluated):
    assert evaluated
    text = shown()
    assert "student.steps 7" in text
    assert "calibration.confidence 0.95" in text
    assert "No settings are named in segmentation.safetensors" in text


def test_the_report_names_every_file_behind_it_by_its_hash(evaluated):
    assert evaluated
    text = shown()
    for path in (build_dir("plate") / name for name in (TEACHER, STUDENT, SEGMENTATION, MEMORY, "accepted.json")):
        assert f"{path.name} SHA-256 {files.sha256(path)}" in text
    assert f"formula (backbone resnet18, licence: not recorded), from the file with SHA-256 {'ab' * 32}" in text
    assert "8 for training, 4 held out for the calibration" in text


def test_the_report_says_how_often_the_threshold_is_wrong_and_how_sure_that_is(evaluated):
    text = shown()
    for name, rate in (("normal falsely rejected", "false_rejects"), ("all defects missed", "escapes")):
        found = getattr(evaluated.rates, rate)
        assert f"{name} {found.count} of 5 {100 * found.share:.3g} %" in text
    assert "&lt;b&gt;hole missed" in text


@pytest.mark.usefixtures("changeable")
def test_settings_that_parts_disagree_on_are_shown_with_their_parts():
    trained = {"width": "16", "settings": json.dumps({"seed": 4, "segmentation": {"steps": 5}})}
    save_weights(build_dir("plate") / SEGMENTATION, Segmentation(16), trained)
    evaluate("plate")
    assert "seed 3 (student.safetensors), 4 (segmentation.safetensors)" in shown()
    assert "segmentation.steps 5" in shown()
    assert "No settings are named" not in shown()


@pytest.mark.usefixtures("changeable")
@pytest.mark.parametrize("damaged", ["no JSON", "[1]"])
def test_settings_that_cannot_be_read_are_an_error_that_names_the_file(damaged):
    save_weights(build_dir("plate") / STUDENT, Student(), {"settings": damaged})
    with pytest.raises(Error, match=r"student\.safetensors has settings that cannot be read"):
        evaluate("plate")


def test_what_the_validation_doubted_stands_in_the_report(tmp_path):
    path = tmp_path / "validation.json"
    assert origin._warnings(path) == []
    finding = {"severity": "warning", "file": None, "text": "images of two sizes"}
    path.write_text(json.dumps({"findings": [finding, finding | {"severity": "error"}]}))
    assert origin._warnings(path) == ["dataset: images of two sizes"]
    path.write_text("[]")
    with pytest.raises(Error, match=r"validation\.json cannot be read .*expected what `destseg validate` wrote"):
        origin._warnings(path)


@pytest.mark.usefixtures("changeable")
def test_a_second_run_gives_the_same_files_and_leaves_nothing_else():
    folder = build_dir("plate")
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    evaluate("plate")
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


@pytest.mark.usefixtures("changeable")
def test_without_calibration_images_there_is_no_threshold_and_the_report_says_so():
    accept([])
    evaluate("plate")
    assert read("calibration.json") is None
    found = read("metrics.json")
    assert found["escapes"] is found["escape_rate"] is found["false_reject_rate_high"] is None
    assert all(verdict["anomalous"] is None for verdict in read("evaluation/scores.json"))
    assert "This model has no threshold" in (build_dir("plate") / "evaluation/report.html").read_text()


@pytest.mark.usefixtures("changeable")
@pytest.mark.parametrize("hidden", ["test/<b>hole", "test"])
def test_without_defect_images_the_metrics_are_null_and_the_report_says_so(hidden):
    shutil.rmtree(dataset_dir("plate") / hidden)
    evaluate("plate")
    found = read("metrics.json")
    assert {found[field.name] for field in dataclasses.fields(Metrics)} == {None}
    assert found["defect_images"] == 0
    assert found["escape_rate"] is None
    assert read("evaluation/defect_types.json") == []
    assert read("evaluation/curves/roc.json") == []
    assert "There are no defect images" in (build_dir("plate") / "evaluation/report.html").read_text()


@pytest.mark.usefixtures("changeable")
def test_a_missing_mask_is_named_and_changes_no_result():
    (dataset_dir("plate") / "ground_truth/<b>hole/3_mask.png").unlink()
    before = (build_dir("plate") / "metrics.json").read_bytes()
    with pytest.raises(ImageError, match=r"3_mask\.png does not exist"):
        evaluate("plate")
    assert (build_dir("plate") / "metrics.json").read_bytes() == before
