"""What a run of the demo ends with."""

import json
from pathlib import Path

from destseg.local.summary import METRICS, Outcome, Summary


def summary(folder: Path, challenger: str | None = None) -> Summary:
    outcome = Outcome(
        dataset_version="0123456789abcdef.dir",
        model_uri="models:/destseg-washer/1",
        metrics=dict.fromkeys(METRICS, 0.5),
        photographs=24,
        quarantined=4,
        challenger=challenger,
        defects_found="4 of 5",
        good_rejected="0 of 1",
    )
    return Summary(folder=folder, seconds=61.25, peak_memory_mb=2345.6, categories={"washer": outcome})


def test_the_file_has_each_categorys_metrics_by_the_pipelines_names(tmp_path: Path) -> None:
    summary(tmp_path).write()
    found = json.loads((tmp_path / "summary.json").read_text())
    assert (found["seconds"], found["peak_memory_mb"]) == (61.2, 2346)
    washer = found["categories"]["washer"]
    assert [washer[name] for name in ("image_auroc", "pixel_auroc", "pixel_ap", "iap", "iap90", "pro")] == [0.5] * 6
    assert washer["dataset_version"] == "0123456789abcdef.dir"
    assert washer["model_uri"] == "models:/destseg-washer/1"


def test_the_text_says_what_happened_and_where_to_look(tmp_path: Path) -> None:
    text = str(summary(tmp_path))
    assert "1 min 1 s" in text
    assert "24 new photographs" in text
    assert "image AUROC 0.500" in text
    assert f"{tmp_path}/reports/{{washer}}/report.html" in text
    assert "challenger" not in text


def test_a_challenger_that_waits_is_named(tmp_path: Path) -> None:
    assert "models:/destseg-washer-candidates/2" in str(summary(tmp_path, "models:/destseg-washer-candidates/2"))
