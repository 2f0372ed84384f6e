"""`destseg try` from photographs to heatmaps, through the real stages with few steps on small images."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg import Error
from destseg.evaluation.predict import predict
from destseg.presets.preset import load
from destseg.trial.checks import Refused
from destseg.trial.result import Tried
from destseg.trial.run import try_
from destseg.trial.settings import PRESET, first_look

from .conftest import NORMALS, SMALL, dataset, listing, normals, photograph

HEAVY = ("mlflow", "dvc", "boto3", "prefect", "great_expectations", "pandas", "git")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tried, dict[str, bytes]]:
    """The desk of a person who tried a plain folder of grey photographs; the result; the folder as it was before."""
    desk = tmp_path_factory.mktemp("plain")
    before = listing(normals(desk / "bolts"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.delenv("DESTSEG_CACHE")
        return desk, try_(Path("bolts"), settings=SMALL), before


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tried]:
    """The desk of a person who tried a dataset in MVTec's layout, in colour."""
    desk = tmp_path_factory.mktemp("layout")
    dataset(desk / "bolt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        return desk, try_(Path("bolt"), out=Path("look"), name="m8", settings=SMALL)


def test_a_plain_folder_ends_with_report_heatmaps_and_model_at_relative_paths(
    plain: tuple[Path, Tried, dict[str, bytes]],
) -> None:
    desk, tried, _ = plain
    assert tried.paths == {
        "report": "destseg-try-bolts/build/bolts/evaluation/report.html",
        "heatmaps": "destseg-try-bolts/heatmaps.png",
        "model": "destseg-try-bolts/build/bolts/package",
    }
    assert all((desk / path).exists() for path in tried.paths.values())
    with Image.open(desk / tried.paths["heatmaps"]) as sheet:
        assert sheet.width > 1000
    assert (desk / tried.paths["model"] / "model.onnx").is_file()
    text = str(tried)
    assert all(path in text for path in tried.paths.values())
    assert text.startswith("Done in ")
    size = SMALL["image"]["size"]
    assert f"It sees photographs at {size}x{size} pixels" in text
    for step in (
        "photographs",
        "checks",
        "teacher",
        "student",
        "segmentation",
        "memory",
        "evaluation",
        "package",
        "heatmaps",
    ):
        assert f"{step} {tried.seconds[step]:.0f} s" in text


def test_nothing_is_written_into_the_folder_and_nothing_beside_the_trials_own(
    plain: tuple[Path, Tried, dict[str, bytes]],
) -> None:
    desk, _, before = plain
    assert listing(desk / "bolts") == before
    assert sorted(path.name for path in desk.iterdir()) == ["bolts", "destseg-try-bolts"]


def test_normals_alone_are_judged_by_synthetic_defects_and_text_report_and_numbers_say_so(
    plain: tuple[Path, Tried, dict[str, bytes]],
) -> None:
    desk, tried, _ = plain
    assert tried.synthetic
    assert "THE DEFECTS BELOW ARE SYNTHETIC" in str(tried)
    assert "of 64 synthetic defects found" in str(tried)
    assert "On synthetic defects: Image AUROC" in str(tried)
    report = (desk / tried.paths["report"]).read_text()
    assert "The defects on this page are synthetic." in report
    assert "Metrics on synthetic defects" in report
    assert "synthetic: surface" in report
    metrics = json.loads((desk / "destseg-try-bolts/build/bolts/metrics.json").read_text())
    assert (metrics["synthetic"], metrics["defect_images"]) == (True, 64)


def test_grey_photographs_get_grey_defects_and_it_says_so(
    plain: tuple[Path, Tried, dict[str, bytes]], layout: tuple[Path, Tried]
) -> None:
    desk, tried, _ = plain
    assert tried.grey
    assert "The photographs are grey, so the synthetic defects were made grey too" in str(tried)
    made = desk / "destseg-try-bolts/build/bolts/acceptance/synthetic/texture/000.png"
    assert np.ptp(np.asarray(Image.open(made)).astype(int), axis=-1).max() == 0
    assert not layout[1].grey


def test_a_datasets_own_defects_are_what_is_measured_and_drawn(layout: tuple[Path, Tried]) -> None:
    desk, tried = layout
    assert tried.category == "m8"
    assert tried.paths["heatmaps"] == "look/heatmaps.png"
    assert not tried.synthetic
    assert "ynthetic" not in str(tried)
    assert "of 4 defect images found." in str(tried)
    assert "of 4 good ones falsely rejected." in str(tried)
    assert "The defects on this page are synthetic" not in (desk / tried.paths["report"]).read_text()
    assert "synthetic" not in tried.metrics


def test_it_trains_the_preset_for_fewer_steps_and_says_so(plain: tuple[Path, Tried, dict[str, bytes]]) -> None:
    look, whole = first_look(), load(PRESET).sections
    steps = {stage: look[stage].pop("steps") for stage in ("student", "segmentation")}
    assert all(count < whole[stage].pop("steps") for stage, count in steps.items())
    assert look == whole
    assert "There it trains longer: 1050 steps a stage, not 4 as in this first look." in str(plain[1])


def test_the_next_commands_are_ready_to_paste(
    plain: tuple[Path, Tried, dict[str, bytes]], layout: tuple[Path, Tried]
) -> None:
    desk, tried, _ = plain
    adopted = f"{desk}/destseg-try-bolts/data/mvtec/bolts"
    assert f"  destseg dataset add bolts --from {adopted} --preset compact" in str(tried).splitlines()
    scored = "  destseg predict destseg-try-bolts/build/bolts/package FOLDER --out heatmaps"
    assert scored in str(tried).splitlines()
    assert layout[1].score == "destseg predict look/build/m8/package look/data/mvtec/m8/test --out heatmaps"


def test_the_model_scores_a_folder_of_new_photographs(
    plain: tuple[Path, Tried, dict[str, bytes]], tmp_path: Path
) -> None:
    desk, tried, _ = plain
    photograph(tmp_path / "new/later/b.png", 901)
    photograph(tmp_path / "new/a.png", 900)
    lines = list(predict(desk / tried.paths["model"], [tmp_path / "new"], tmp_path / "heatmaps"))
    assert [Path(line["image"]).name for line in lines] == ["a.png", "b.png"]
    assert all(isinstance(line["anomalous"], bool) for line in lines)


def test_the_same_again_does_nothing_anew(
    plain: tuple[Path, Tried, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk, tried, _ = plain
    monkeypatch.chdir(desk)
    before = listing(desk / "destseg-try-bolts/build")
    with caplog.at_level(logging.INFO):
        again = try_(Path("bolts"), settings=SMALL)
    assert not [record for record in caplog.records if "step " in record.getMessage()]
    assert (again.metrics, again.paths) == (tried.metrics, tried.paths)
    assert listing(desk / "destseg-try-bolts/build") == before


def test_a_result_that_was_deleted_is_made_again(
    plain: tuple[Path, Tried, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk, _, _ = plain
    monkeypatch.chdir(desk)
    Path("destseg-try-bolts/heatmaps.png").unlink()
    with caplog.at_level(logging.INFO):
        try_(Path("bolts"), settings=SMALL)
    said = [record.getMessage() for record in caplog.records if "step " in record.getMessage()]
    assert said == ["step 8 of 8: drawing heatmaps"]
    assert Path("destseg-try-bolts/heatmaps.png").is_file()


def test_all_findings_are_told_at_once_in_the_persons_own_names_before_anything_trains(desk: Path) -> None:
    normals(desk / "bolts")
    shutil.copy(desk / "bolts/000.png", desk / "bolts/twin.png")
    (desk / "bolts/night").mkdir()
    (desk / "bolts/night/broken.png").write_bytes(b"not an image")
    Image.open(desk / "bolts/003.png").save(desk / "bolts/003.png", format="BMP")
    for number in range(5, NORMALS):
        (desk / f"bolts/{number:03}.png").unlink()
    with pytest.raises(Refused) as refusal:
        try_(Path("bolts"), settings=SMALL)
    lines = str(refusal.value).splitlines()
    assert lines[0] == "bolts has 3 mistakes; put them right and repeat the command:"
    assert lines[1] == ("  6 usable images in bolts, expected at least 20; add photographs of good parts to bolts")
    assert lines[2:] == [
        "  night/broken.png: holds no image of a known format; expected one of PNG, JPEG, BMP, TIFF, WEBP",
        "  twin.png: has the same bytes as 000.png; remove one of them",
        "Less grave:",
        "  003.png: holds BMP, which its name does not say; rename it",
    ]
    assert not list((desk / "destseg-try-bolts").rglob("*.safetensors"))


def test_masks_that_do_not_fit_and_names_that_are_shared_are_among_the_findings(desk: Path) -> None:
    dataset(desk / "bolt")
    Image.new("L", (30, 30), 255).save(desk / "bolt/ground_truth/dent/0_mask.png")
    (desk / "bolt/ground_truth/dent/1_mask.png").unlink()
    (desk / "bolt/test/dent/2.png").unlink()
    (desk / "bolt/test/good/notes.txt").touch()
    Image.open(desk / "bolt/test/good/0.png").transpose(Image.Transpose.ROTATE_90).save(desk / "bolt/test/good/0.bmp")
    with pytest.raises(Refused) as refusal:
        try_(desk / "bolt", settings=SMALL)
    said = str(refusal.value)
    for text in (
        "ground_truth/dent/0_mask.png: is 30x30 pixels, its image 80x72",
        "test/dent/1.png: has no mask, expected ground_truth/dent/1_mask.png",
        "ground_truth/dent/2_mask.png: has no image, expected test/dent/2.*",
        "test/good/notes.txt: is no image; expected",
        "test/good/0.*: 2 images share this name, and so a mask",
    ):
        assert text in said


def test_changed_photographs_start_over_and_it_says_so(
    plain: tuple[Path, Tried, dict[str, bytes]],
    desk: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(plain[0], desk, dirs_exist_ok=True)
    (desk / "bolts/broken.png").touch()
    with pytest.raises(Refused, match=r"broken\.png: is empty"):
        try_(Path("bolts"), settings=SMALL)
    assert "starting over in destseg-try-bolts: of the photographs, 1 are new and 0 are gone" in caplog.text
    assert not Path("destseg-try-bolts/heatmaps.png").exists()
    assert not Path("destseg-try-bolts/build/bolts/package").exists()


def test_a_trial_may_lie_neither_in_the_photographs_nor_around_them(desk: Path) -> None:
    normals(desk / "bolts")
    with pytest.raises(Error, match=r"bolts/out lies in bolts, and nothing may be written there; name a folder"):
        try_(Path("bolts"), out=Path("bolts/out"), settings=SMALL)
    with pytest.raises(Error, match=r"bolts lies in \., and nothing may be written there"):
        try_(Path("bolts"), out=Path(), settings=SMALL)
    assert [path.name for path in desk.iterdir()] == ["bolts"]


def test_a_foreign_folder_is_refused_and_a_mistaken_one_leaves_nothing(desk: Path) -> None:
    normals(desk / "bolts")
    (desk / "thesis").mkdir()
    (desk / "thesis/chapter.txt").touch()
    with pytest.raises(Error, match="thesis exists and was not made by `destseg try`"):
        try_(Path("bolts"), out=Path("thesis"), settings=SMALL)
    with pytest.raises(Error, match="nuts does not exist; expected a folder of photographs"):
        try_(Path("nuts"), settings=SMALL)
    assert sorted(path.name for path in desk.iterdir()) == ["bolts", "thesis"]


def test_an_interrupted_training_goes_on_from_its_checkpoint(desk: Path, caplog: pytest.LogCaptureFixture) -> None:
    normals(desk / "bolts")
    settings = {**SMALL, "student": {**SMALL["student"], "steps": 150}}
    code = (
        "import sys, json, logging, signal; from pathlib import Path; from destseg.trial.run import try_; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # jobs in a shell's background ignore it
        "logging.basicConfig(level=logging.INFO); try_(Path('bolts'), settings=json.loads(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(settings)],
        env=os.environ | {"DESTSEG_CHECKPOINT_SECONDS": "0.01"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(desk.glob("destseg-try-bolts/cache/checkpoints/bolts-student-*.pt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted; the same command goes on from here" in said
    record = json.loads(Path("destseg-try-bolts/try.json").read_text())
    assert record["done"] == ["photographs", "checks", "teacher"]
    with caplog.at_level(logging.INFO):
        tried = try_(Path("bolts"), settings=settings)
    messages = [entry.getMessage() for entry in caplog.records]
    assert "going on after: photographs, checks, teacher" in messages
    assert not [message for message in messages if "step 1 of 8" in message or "step 2 of 8" in message]
    assert [message for message in messages if message.startswith("student: going on after step ")]
    assert tried.seconds["student"] > record["seconds"]["student"]


def test_the_command_line_prints_json_keeps_changed_settings_and_loads_nothing_of_the_pipeline(desk: Path) -> None:
    """The settings are the test's because params.yaml has been changed by hand."""
    dataset(desk / "bolt")
    (desk / "bolt/train/good/000.png").write_bytes(b"")
    code = (
        "import sys; from destseg.cli import app; app(['try', *sys.argv[1:]], standalone_mode=False); "
        f"print(sorted(set({HEAVY}) & sys.modules.keys()))"
    )
    command = [sys.executable, "-m", "destseg", "try", "bolt", "--json"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    content = json.loads(refused.stdout)
    assert (content["accepted"], content["errors"]) == (False, ["train/good/000.png: is empty (0 bytes)"])
    assert "destseg: bolt has 1 mistake; put them right and repeat the command:" in refused.stderr

    normals(desk / "bolt/train/good", coloured=True)
    params = Path("destseg-try-bolt/params.yaml")
    small = [f"{name}: {json.dumps(section)}" for name, section in SMALL.items()]
    params.write_text("\n".join([*small, "categories: {bolt: {synthesis: {own_share: 0.25}}}"]))
    done = subprocess.run([sys.executable, "-c", code, "bolt", "--json"], capture_output=True, text=True, check=True)
    shown, loaded = done.stdout.splitlines()
    content = json.loads(shown)
    assert loaded == "[]"
    assert content["report"] == "destseg-try-bolt/build/bolt/evaluation/report.html"
    assert (content["accepted"], content["synthetic"], content["metrics"]["defect_images"]) == (True, False, 4)
    assert content["seconds"]["all"] > 0
    assert content["next"]["adopt"].startswith("destseg dataset add bolt --from ")
    assert "params.yaml was changed by hand, and is kept as it is" in done.stderr
    assert '"own_share": 0.25' not in done.stderr
    assert "own_share: 0.25" in params.read_text()
