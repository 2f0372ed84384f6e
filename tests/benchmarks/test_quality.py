"""The quality benchmark runs what its plan says, and docs/quality.md shows what was recorded."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import painted
from benchmarks.quality import METRICS, RESULTS, Run, measure, planned
from benchmarks.quality_tables import tables
from destseg.dataset.layout import samples
from destseg.files import sha256
from destseg.model.sources import FORMULA

GUIDE = Path(__file__).parents[2] / "docs" / "quality.md"
PLAN = list(planned("magnetic_tile"))


def test_each_run_of_the_plan_is_another() -> None:
    assert len({run.key for run in PLAN}) == len(PLAN)
    assert {run.teacher for run in PLAN} == {"final", "first", "random"}


def test_settings_of_a_group_lie_over_those_of_its_bases() -> None:
    run = next(run for run in PLAN if run.name == "small marks")
    assert run.settings["synthesis"] == {
        "crop": 128,
        "flips": "both",
        "grey": True,
        "own_share": 0.5,
        "scale_min": 2,
    }


def test_painted_defects_differ_from_the_photograph_inside_their_masks_alone(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        painted.write(tmp_path / folder, "brick")
    assert {sample.kind for sample in samples(tmp_path / "one", "test")} == {"good", *painted.KINDS}
    normals = [path.read_bytes() for path in (tmp_path / "one").glob("*/good/*.png")]
    assert len(set(normals)) == painted.NORMALS + painted.TEST_NORMALS
    photograph = painted.PHOTOGRAPHS["brick"]().astype(int)
    rows = np.lib.stride_tricks.sliding_window_view(photograph, (1, painted.SIZE))[:, :, 0]
    for kind in painted.KINDS:
        path = tmp_path / "one" / "test" / kind / "000.png"
        assert path.read_bytes() == (tmp_path / "two" / "test" / kind / "000.png").read_bytes()
        mask = np.asarray(Image.open(tmp_path / "one" / "ground_truth" / kind / "000_mask.png")) > 0
        assert 0 < mask.mean() < 0.3
        marked = np.flatnonzero(mask.any(axis=1))
        farthest = max(range(painted.SIZE), key=lambda row, marked=marked: np.abs(marked - row).min())
        clean = np.asarray(Image.open(path)).astype(int)[farthest]
        assert (np.abs(rows - clean).sum(axis=2) == 0).any()


def test_a_run_trains_evaluates_and_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("NORMALS", 24), ("TEST_NORMALS", 3), ("DEFECTS", 1)):
        monkeypatch.setattr(painted, name, count)
    tiny = {
        "image": {"size": 64},
        "split": {"calibration_share": 0.0},
        "texture": {"count": 4},
        "student": {"steps": 1, "batch": 2, "encoder_decoder": False},
        "segmentation": {"steps": 1, "batch": 2, "width": 8},
    }
    run = replace(PLAN[0], dataset="gravel", teacher="final", settings=tiny)
    record = measure(run, tmp_path / "not there", tmp_path, threads=1)
    assert {"dataset", "teacher", "seed", "settings", "minutes", *METRICS} <= record.keys()
    assert all(0 <= record[metric] <= 1 for metric in METRICS)


def test_recorded_runs_are_those_of_the_plan() -> None:
    recorded = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert [record["key"] for record in recorded] == [run.key for run in PLAN]
    final = {record["teacher_sha256"] for record in recorded if record["teacher"] == "final"}
    assert final == {sha256(FORMULA)}, "the bundled teacher has changed since: run `python -m benchmarks.quality`"
    fields = Run.__dataclass_fields__.keys()
    assert all(Run(**{name: record[name] for name in fields}).key == record["key"] for record in recorded)


def test_the_guide_shows_what_was_recorded() -> None:
    shown = GUIDE.read_text(encoding="utf-8").splitlines()
    wanted = tables(json.loads(RESULTS.read_text(encoding="utf-8"))).splitlines()
    assert [line for line in wanted if line not in shown] == []
