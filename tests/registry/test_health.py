"""What is said of a category: its champion, threshold, data and challenger, on a real store and repository."""

import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.model.calibration import Calibration
from destseg.registry.connection import candidates, released
from destseg.registry.evidence import Lineage
from destseg.registry.health import Health, MonitorSettings, health, report, threshold
from destseg.registry.promotion import promote, rollback
from destseg.registry.register import submit
from destseg.registry.turn_down import turn_down
from destseg.settings import read_section
from destseg.storage import versions

pytestmark = pytest.mark.usefixtures("store")
TRAINED_ON = "aa" * 16 + ".dir"  # of the lineage fixture
SOUND: dict[str, Any] = {
    "threshold": 0.5,
    "target_rate": 0.01,
    "provable_rate": 0.01,
    "confidence": 0.95,
    "images": 299,
    "heat_low": 0.2,
    "heat_high": 0.65,
}


@pytest.fixture
def train(
    results: Callable[..., Path], lineage: Callable[..., Lineage], compared: Callable[..., Any], category: str
) -> Callable[..., Path]:
    """A function that registers and compares a training, and returns the repository's root."""

    def run(key: str, **calibration: float) -> Path:
        root = results(category, weights=key.encode(), calibration=SOUND | calibration)
        submit(category, lineage(root, key, category=category), root=root)
        compared(category)
        return root

    return run


def dataset(root: Path, category: str, version: str = TRAINED_ON) -> None:
    """Commits this version of the category's dataset."""
    if not (root / ".git").exists():
        versions.git(root, "init", "--quiet", "--initial-branch=main")
    path = versions.pointer(category)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(f"outs:\n- md5: {version}\n  path: {category}\n")
    versions.commit(root, [path], "Data")


def later(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def wrong(found: Health) -> list[str]:
    return [str(finding) for finding in found.findings if finding.severity != "ok"]


def test_a_category_in_order_has_nothing_but_ok(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    dataset(root, category)
    promote(category, why="first", root=root)
    found = health(category, root=root)
    assert (found.severity, wrong(found)) == ("ok", [])
    assert (found.champion, found.challenger) == (f"models:/{released(category)}/1", None)
    assert found.trained_on == found.newest == TRAINED_ON
    assert [finding.about for finding in found.findings] == ["champion", "threshold", "data", "data", "challenger"]


def test_without_a_champion_that_is_a_finding(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    dataset(root, category)
    found = health(category, root=root)
    assert wrong(found) == ["warning  champion: there is none yet; `destseg promote` makes one"]
    assert (found.champion, found.challenger) == (None, f"models:/{candidates(category)}/1")


def test_a_challenger_that_was_turned_down_waits_no_more(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    dataset(root, category)
    turn_down(category, why="misses scratches", who="Ada")
    assert health(category, root=root).challenger is None


def test_what_is_too_old_or_waits_too_long_is_a_warning_with_its_limit(
    train: Callable[..., Path], category: str
) -> None:
    root = train("a")
    dataset(root, category)
    promote(category, why="first", root=root)
    train("b")
    params = root / "params.yaml"
    params.write_text(params.read_text() + "monitor: {max_wait_days: 10}\n")
    assert wrong(health(category, root=root, now=later(9))) == []
    late = health(category, root=root, now=later(200))
    assert [text.partition(", more")[2] for text in wrong(late)] == [
        " than monitor.max_model_age_days (180)",
        " than monitor.max_data_age_days (90): is the inbox being filled?",
        " than monitor.max_wait_days (10)",
    ]
    assert late.waiting_days == pytest.approx(200, abs=0.1)


def test_a_rollback_makes_a_model_no_younger_and_leaves_nothing_waiting(
    train: Callable[..., Path], category: str
) -> None:
    for key in "ab":
        root = train(key)
        promote(category, why=key, root=root)
    dataset(root, category)
    before = health(category, root=root)
    rollback(category, why="b misses scratches")
    found = health(category, root=root)
    assert found.champion == f"models:/{released(category)}/3"
    assert found.challenger is None
    assert found.model_age_days is not None
    assert before.model_age_days is not None
    assert found.model_age_days > before.model_age_days


def test_data_that_nothing_was_trained_on_and_data_that_is_not_there(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    promote(category, why="first", root=root)
    missing = health(category, root=root)
    assert missing.severity == "error"
    assert "has no dataset here" in wrong(missing)[0]
    dataset(root, category, "bb" * 16 + ".dir")
    (said,) = wrong(health(category, root=root))
    assert said.startswith("warning  data: no champion or waiting challenger was trained on the newest version, bbbb")


def test_few_calibration_images_are_a_warning_that_names_how_many_it_takes() -> None:
    found = threshold(Calibration(**SOUND | {"images": 50, "provable_rate": 0.0582}))
    assert found.severity == "warning"
    assert found.text == (
        "50 images prove at most 5.82% false rejects, not the 1.00% asked for; that takes 299 calibration images"
    )
    assert threshold(Calibration(**SOUND)).severity == "ok"
    assert threshold(None).severity == "warning"


def test_a_threshold_that_no_calibration_gives_is_an_error_and_the_command_ends_with_2(
    train: Callable[..., Path], category: str
) -> None:
    root = train("a", threshold=0.7)
    dataset(root, category)
    promote(category, why="first", root=root)
    command = [sys.executable, "-m", "destseg", "health", category, "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"not in order: {category}" in done.stderr
    answer = json.loads(done.stdout)
    (found,) = answer["categories"]
    assert (answer["severity"], found["severity"], found["champion"]) == (
        "error",
        "error",
        f"models:/{released(category)}/1",
    )
    texts = [finding["text"] for finding in found["findings"] if finding["severity"] == "error"]
    assert texts == ["0.7 lies outside its colour range 0.2 to 0.65; calibrate anew with `dvc repro`"]


def test_a_calibration_with_a_number_that_is_none_is_an_error(train: Callable[..., Path], category: str) -> None:
    root = train("a", threshold=float("nan"))
    dataset(root, category)
    promote(category, why="first", root=root)
    (said,) = wrong(health(category, root=root))
    assert said.startswith(f"error    threshold: models:/{released(category)}/1 cannot be read: calibration: threshold")


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("monitor: {max_wait_days: 0}\n")
    with pytest.raises(Error, match="max_wait_days is 0, expected more than 0"):
        read_section("monitor", MonitorSettings, path=tmp_path / "params.yaml")


def test_one_category_s_trouble_hides_no_other(train: Callable[..., Path], category: str) -> None:
    root = train("key")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("  fabric: {}", "  fabric: {monitor: {max_wait_days: -1}}"))
    found = {one.category: one for one in report(root=root).categories}
    assert found.keys() == {category, "fabric"}
    assert found["fabric"].severity == "error"
    assert "max_wait_days is -1, expected more than 0" in found["fabric"].findings[0].text
    assert found[category].challenger is not None
