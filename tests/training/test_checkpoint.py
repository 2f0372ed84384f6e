"""A training that is killed goes on in another workspace and ends with the same bits."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from destseg.dataset.accepted import Accepted
from destseg.dataset.procedural import render
from destseg.files import sha256
from destseg.model.sources import TeacherSettings, fetch
from destseg.storage.memo import held
from destseg.training import checkpoint as checkpoints
from destseg.training import segmentation, student
from destseg.training.checkpoint import Checkpoint, checkpoint, key

STEPS = 40
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category of ten images, with a teacher, ready for the stage `student`."""
    root = tmp_path_factory.mktemp("workspace")
    good = root / "data/mvtec/bolt/train/good"
    good.mkdir(parents=True)
    for number in range(10):
        Image.fromarray(render(number, 0, size=64, seed=1)).save(good / f"{number}.png")
    short = {"steps": STEPS, "batch": 2, "precision": "float32"}
    params = {
        "seed": 0,
        "image": {"size": 64},
        "texture": {"count": 4},
        "student": {**short, "encoder_decoder": False, "lr": 0.05, "schedule": "cosine"},
        "segmentation": {**short, "width": 16},
        "categories": {"bolt": {}},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    fetch(TeacherSettings(source="formula"), root / "build/bolt/teacher.safetensors")
    Accepted(
        category="bolt",
        training=[(f"train/good/{path.name}", sha256(path)) for path in sorted(good.iterdir())],
        calibration=[],
    ).write(root)
    return root


def command(verb: str) -> list[str]:
    return [sys.executable, "-m", "destseg", verb, "bolt"]


def settings(cache: Path) -> dict[str, str]:
    return {"DESTSEG_CACHE": str(cache), "DESTSEG_CHECKPOINT_SECONDS": "0.01", "DESTSEG_DEVICE": "cpu"}


def train_here(root: Path, cache: Path, verb: str) -> None:
    """Without a process of its own, which imports torch for 3 CPU seconds."""
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        for name, value in settings(cache).items():
            patch.setenv(name, value)
        {"student": student, "segmentation": segmentation}[verb].stage("bolt")


def destseg(root: Path, cache: Path, verb: str) -> str:
    """What the verb said; it must succeed."""
    env = os.environ | settings(cache)
    done = subprocess.run(command(verb), cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def kill_when_saved(root: Path, cache: Path, verb: str) -> int:
    """Kills the verb's process after some saved states; the step of the last one."""
    process = subprocess.Popen(command(verb), cwd=root, env=os.environ | settings(cache), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in (cache / "checkpoints").glob(f"bolt-{verb}-*.pt"):
            done = len(torch.load(path, weights_only=True)["rows"])
            if done >= 3:
                process.send_signal(signal.SIGKILL)
                process.wait()
                assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
                return done
        time.sleep(0.01)
    process.kill()
    raise AssertionError("no state was saved within a minute")


@pytest.fixture(scope="module")
def unsaved(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A workspace whose student was trained at once, with a cache that cannot be written, and what was said."""
    folder = tmp_path_factory.mktemp("unsaved")
    root, file = folder / "root", folder / "file"
    shutil.copytree(workspace, root)
    file.touch()
    return root, destseg(root, file, "student")


@pytest.fixture(scope="module")
def killed(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A workspace whose student was killed, the cache with its state, and that state's step."""
    folder = tmp_path_factory.mktemp("killed")
    root, cache = folder / "root", folder / "cache"
    shutil.copytree(workspace, root)
    return root, cache, kill_when_saved(root, cache, "student")


def test_both_stages_killed_go_on_elsewhere_and_end_with_the_bits_of_a_run_that_was_not(
    workspace: Path,
    unsaved: tuple[Path, str],
    killed: tuple[Path, Path, int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="destseg")
    whole, cache = tmp_path / "whole", tmp_path / "cache"
    shutil.copytree(unsaved[0], whole)
    train_here(whole, tmp_path / "other-cache", "segmentation")
    shutil.copytree(killed[1], cache)
    for verb in ("student", "segmentation"):
        first, second = tmp_path / f"{verb}-killed", tmp_path / f"{verb}-again"
        shutil.copytree(killed[0] if verb == "student" else workspace, first)
        if verb == "segmentation":
            shutil.copy(whole / "build/bolt/student.safetensors", first / "build/bolt")
        shutil.copytree(first, second)
        done = killed[2] if verb == "student" else kill_when_saved(first, cache, verb)
        if verb == "student":
            said = destseg(second, cache, verb)
        else:
            train_here(second, cache, verb)
            said = caplog.text
        assert "going on after step" in said
        assert int(said.partition("going on after step ")[2].split(",")[0]) >= done
        for name in (f"{verb}.safetensors", f"{verb}-loss.csv"):
            assert sha256(second / "build/bolt" / name) == sha256(whole / "build/bolt" / name), name
        assert not (first / "build/bolt" / f"{verb}.safetensors").exists()
    assert list((cache / "checkpoints").glob("*.pt")) == [], "a training that has ended needs its state no more"


def test_other_settings_start_anew(
    killed: tuple[Path, Path, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="destseg")
    changed, cache = tmp_path / "changed", tmp_path / "cache"
    shutil.copytree(killed[0], changed)
    shutil.copytree(killed[1], cache)
    params = yaml.safe_load((changed / "params.yaml").read_text())
    params["student"]["lr"] = 0.04
    (changed / "params.yaml").write_text(yaml.safe_dump(params))
    train_here(changed, cache, "student")
    assert f"step {STEPS} of {STEPS}" in caplog.text
    assert "going on" not in caplog.text


def test_a_cache_that_cannot_be_written_is_said_and_training_goes_on(unsaved: tuple[Path, str]) -> None:
    root, said = unsaved
    assert "cannot be written" in said
    assert "training without checkpoints" in said
    assert (root / "build/bolt/student.safetensors").exists()


def test_two_that_train_the_same_do_not_share_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    with checkpoint("student", {"a": 1}) as mine, checkpoint("student", {"a": 1}) as theirs:
        assert mine is not None
        assert theirs is None
    assert "another process works with" in caplog.text
    with checkpoint("student", {"a": 1}) as mine:
        assert mine is not None


def test_a_state_stays_when_the_training_fails_and_goes_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))

    def fail() -> None:
        with checkpoint("student", {}) as mine:
            assert mine is not None
            mine.save({"step": 1})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with checkpoint("student", {}) as mine:
        assert mine is not None
        assert mine.load(CPU) == {"step": 1}
    with checkpoint("student", {}) as mine:
        assert mine is not None
        assert mine.load(CPU) is None


def test_a_file_that_is_no_state_is_said_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for content in (b"", b"PK\x03\x04 no archive", b"text"):
        (tmp_path / "x.pt").write_bytes(content)
        assert Checkpoint(tmp_path / "x.pt", every=1).load(CPU) is None
    assert caplog.text.count("training from the start") == 3


def test_code_in_a_state_is_not_run(tmp_path: Path) -> None:
    torch.save({"state": nn.Linear(1, 1)}, tmp_path / "x.pt")
    assert Checkpoint(tmp_path / "x.pt", every=1).load(CPU) is None


def test_a_full_disk_leaves_the_state_before_and_the_training_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saved = Checkpoint(tmp_path / "x.pt", every=0)
    saved.save({"step": 1})
    monkeypatch.setattr(checkpoints, "replacing", lambda _: open("/dev/full", "wb"))  # noqa: PTH123, SIM115
    saved.save({"step": torch.zeros(100_000)})
    assert "cannot be written" in caplog.text
    assert saved.load(CPU) == {"step": 1}


def test_the_key_names_inputs_and_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    first = key({}, tmp_path)
    assert key({}, tmp_path) == first
    (tmp_path / "code.py").write_text("x = 2\n")
    assert key({}, tmp_path) != first
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
    assert key({"a": 1}) != key({"a": 2})
    before = key({})
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert key({}) != before


def test_a_lock_ends_with_its_owner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with held(tmp_path / "x") as mine:
        assert mine
    with held(tmp_path / "x") as again:
        assert again
    assert caplog.text == ""
