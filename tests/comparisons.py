"""comparison.json as `destseg compare` writes it, made by hand: for tests in which no model scores anything."""

import copy
from collections.abc import Mapping
from typing import Any


def content(*, champion: int | None = None, metrics: Mapping[str, float | None] | None = None) -> dict[str, Any]:
    """A challenger as good as its champion, on 20 good images and two defect types."""
    threshold = {"threshold": 0.5, "target_rate": 0.01, "provable_rate": 0.05, "confidence": 0.95, "images": 59}
    model = {
        "address": "models:/destseg-washer-candidates/2",
        "version": 2,
        "dataset_version": "aa" * 16 + ".dir",
        "commit": "c" * 40,
        "teacher": {"source": "formula", "sha256": "5" * 64},
        "metrics": {"image_auroc": 0.97, "pixel_ap": 0.61, **(metrics or {})},
        "curves": {
            "image_roc": [[0.0, 0.0], [0.0, 0.97], [1.0, 1.0]],
            "pixel_precision_recall": [[0.5, 0.9], [1.0, 0.3]],
        },
        "kinds": {"dent": {"images": 10, "caught": 9}, "scratch": {"images": 20, "caught": 18}},
        "false_rejects": {"count": 1, "images": 20, "rate": 0.05, "low": 0.001, "high": 0.249},
        "calibration": {**threshold, "heat_low": 0.25, "heat_high": 0.625},
        "latency_ms": 40.0,
    }
    former = {**copy.deepcopy(model), "address": f"models:/destseg-washer/{champion}", "version": champion}
    difference = {"low": -0.01, "high": 0.01}
    verdict = {"score": 0.7, "rejected": True, "place": 0.9}
    calm = {"score": 0.1, "rejected": False, "place": 0.0}
    rows = [("test/good/000.png", "good", calm), ("test/scratch/000.png", "scratch", verdict)]
    return {
        "category": "washer",
        "dataset_version": "aa" * 16 + ".dir",
        "commit": "c" * 40,
        "made": "2026-11-20T12:00:00+00:00",
        "destseg": "0.1.0",
        "machine": "cpu, a processor, 2 cores, torch 2",
        "synthetic": False,
        "clean": True,
        "pushed": True,
        "trained_on": {"challenger": [], "champion": None if champion is None else []},
        "kinds": {"good": 20, "dent": 10, "scratch": 20},
        "challenger": model,
        "champion": None if champion is None else former,
        "differences": {}
        if champion is None
        else {name: {"champion": 0.9, "challenger": 0.9, **difference} for name in ("image_auroc", "pixel_ap")},
        "verdict": "better on 0 of 30 defects, worse on 0, as many false rejects",
        **{name: [] for name in ("better", "worse", "newly_missed", "newly_caught", "newly_rejected")},
        "newly_accepted": [],
        "changes": {
            "params": [],
            "data": {"added": 0, "removed": 0, "added_names": [], "removed_names": [], "sheet": [], "from": None},
            "code": {"champion": None, "challenger": "c" * 40, "commits": [], "files": []},
            "unknown": {},
        },
        "images": [
            {"name": name, "kind": kind, "sha256": "0" * 64, "challenger": said, "champion": champion and said}
            for name, kind, said in rows
        ],
        "operating_points": [],
        "current": None,
    }
