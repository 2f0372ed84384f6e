"""The pipeline reruns what has changed, and nothing else: `dvc repro` on a small rendered product."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from playwright.sync_api import sync_playwright

from destseg.dataset.demo import render_dataset, render_image
from destseg.files import sha256
from destseg.model.sources import FORMULA
from destseg.storage.process import QUIET, environment

ROOT = Path(__file__).parents[2]
CODE = ("destseg", "flows", "dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")
STAGES = ("teacher", "validate", "student", "segmentation", "memory", "evaluate", "package")
PRIVATE = {"GIT_CONFIG_GLOBAL": os.devnull, **QUIET}


def run(root: Path, *command: str, code: int = 0) -> str:
    done = subprocess.run(command, cwd=root, env=environment(PRIVATE), capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def repro(root: Path, *targets: str) -> set[str]:
    """The stages that `dvc repro` ran."""
    return ran(run(root, "dvc", "repro", *targets))


def ran(said: str) -> set[str]:
    return {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}


def outdated(root: Path) -> set[str]:
    """The stages whose own data, params or code have changed, by `dvc status`. Packaging alone takes 9 CPU seconds."""
    return set(json.loads(run(root, "dvc", "status", "--json").partition("\n")[0]))


def change(root: Path, edit: Callable[[Any], None]) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    edit(params)
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def make_repository(root: Path) -> Path:
    """The project's own code and pipeline in a git repository of its own, without a dataset."""
    for name in CODE:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    run(root, "git", "config", "user.name", "Test")
    run(root, "git", "config", "user.email", "test@example.com")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "--quiet", "-m", "The project")
    return root


def settings(params: Any) -> None:
    params["teacher"]["source"] = "formula"
    params["image"]["size"] = 64
    params["split"]["calibration_share"] = 0.4  # of few images, so that some are held out on every machine
    params["texture"]["count"] = 4
    params["validation"]["min_normals"] = 4
    small = {"steps": 1, "batch": 2, "encoder_decoder": False}
    params["student"].update({**small, "lr": 0.01, "precision": "float32"})
    params["segmentation"].update({"steps": 1, "batch": 2, "width": 8, "precision": "float32"})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories, trained for a step."""
    root = make_repository(tmp_path_factory.mktemp("project"))
    run(root, "destseg", "preset", "use", "paper")
    change(root, settings)
    for category in ("washer", "fabric"):
        source = root.parent / f"{root.name}-{category}"
        render_dataset(source, category, normals=20, test_normals=2, defects_per_kind=1, size=64)
        run(root, "destseg", "dataset", "add", category, "--from", str(source), "--no-estimate")
    run(root, "git", "add", ".")
    run(root, "git", "commit", "--quiet", "-m", "Two datasets")
    assert repro(root) == {"datasets", *(f"{stage}@{c}" for stage in STAGES for c in ("washer", "fabric"))}
    return root


def test_without_a_dataset_the_pipeline_says_how_to_add_one(tmp_path: Path) -> None:
    said = run(make_repository(tmp_path), "dvc", "repro", code=255)
    assert "no dataset yet: add one in MVTec's layout with `destseg dataset add CATEGORY --from DIR`" in said


def test_a_second_run_does_nothing_and_leaves_git_clean(repository: Path) -> None:
    assert repro(repository) == set()
    assert run(repository, "git", "status", "--porcelain").split() == ["??", "dvc.lock"]


def test_metrics_and_plots_are_declared(repository: Path) -> None:
    shown = run(repository, "dvc", "metrics", "show")
    for name in ("image_auroc", "pixel_auroc", "pixel_ap", "iap", "iap90", "pro"):
        assert name in shown
    plots = run(repository, "dvc", "plots", "show", "--json")
    for name in ("roc.json", "pr.json", "pro.json", "student-loss.csv", "segmentation-loss.csv"):
        assert name in plots


def test_a_new_defect_image_retrains_nothing(repository: Path) -> None:
    image, mask = render_image("washer", split="test", kind="chip", index=7, size=64)
    dataset = repository / "data/mvtec/washer"
    save(image, dataset / "test/chip/new.png")
    save(mask, dataset / "ground_truth/chip/new_mask.png")
    run(repository, "dvc", "add", "--quiet", "data/mvtec/washer")
    assert repro(repository) == {"validate@washer", "evaluate@washer"}


def test_an_experiment_with_a_setting_of_the_segmentation_retrains_no_student(repository: Path) -> None:
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "--quiet", "-m", "Everything so far")
    override = "+categories.washer.segmentation.lr_head=0.02"
    assert ran(run(repository, "dvc", "exp", "run", "-S", override, "segmentation@washer")) == {"segmentation@washer"}
    assert outdated(repository) == {"datasets", "evaluate@washer", "package@washer"}
    run(repository, "git", "restore", ".")
    run(repository, "dvc", "checkout", "--quiet")


def test_a_preset_retrains_the_category_that_it_is_for(repository: Path) -> None:
    said = run(repository, "destseg", "preset", "use", "paper", "fabric")
    assert "The next `dvc repro` retrains fabric by it." in said
    assert {"student@fabric", "segmentation@fabric"} <= outdated(repository)
    assert not {"student@washer", "segmentation@washer"} & outdated(repository)
    run(repository, "git", "restore", "params.yaml")


def test_a_new_photograph_retrains_its_own_category_only(repository: Path) -> None:
    image, _ = render_image("fabric", split="train", kind="good", index=90, size=64)
    save(image, repository / "data/mvtec/fabric/train/good/new.png")
    run(repository, "dvc", "add", "--quiet", "data/mvtec/fabric")
    assert repro(repository, "student@fabric") == {"validate@fabric", "student@fabric"}
    assert outdated(repository) == {f"{stage}@fabric" for stage in ("segmentation", "memory", "evaluate", "package")}


def test_another_teacher_for_one_category_retrains_no_other(repository: Path) -> None:
    before = outdated(repository)
    own = {"source": "file", "path": str(FORMULA), "sha256": sha256(FORMULA)}
    change(repository, lambda params: params["categories"]["washer"].update(teacher=own))
    assert repro(repository, "teacher@washer") == {"teacher@washer"}
    later = {f"{stage}@washer" for stage in ("student", "segmentation", "memory", "evaluate", "package")}
    assert outdated(repository) - before == {"datasets", *later}
    run(repository, "git", "restore", "params.yaml")
    run(repository, "dvc", "repro", "--quiet", "teacher@washer")


def test_predictions_come_from_the_package_and_from_its_exported_file(repository: Path, tmp_path: Path) -> None:
    image = repository / "data/mvtec/washer/test/chip/000.png"
    package = repository / "build/washer/package"
    lines = []
    for model in (package, package / "model.onnx"):
        command = ["destseg", "--quiet", "predict", str(model), str(image), "--out", str(tmp_path / model.name)]
        lines.append(run(repository, *command))
        assert (tmp_path / model.name / "000-000.png").stat().st_size > 500
        assert (tmp_path / model.name / "scores.jsonl").is_file()
    scores = [float(line.split('"score": ')[1].split(",")[0]) for line in lines]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; .ci/run installs it")
@pytest.mark.parametrize("page", ["evaluation/report.html", "validation/index.html"])
def test_pages_open_in_a_browser_and_load_nothing_else(repository: Path, page: str) -> None:
    path = repository / "build/washer" / page
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    requests: list[str] = []
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=flags)
        tab = browser.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.goto(path.as_uri())
        images = tab.locator("img")
        empty = images.evaluate_all("all => all.filter(i => !i.complete || !i.naturalWidth).length")
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        shown = tab.inner_text("body")
        browser.close()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert problems == []
    assert empty == 0
    assert wide <= 0  # nothing runs out of the page
    assert "washer" in shown


def save(values: Any, path: Path) -> None:
    Image.fromarray(values).save(path)
