"""The curves that the page draws of a comparison, and the table of them."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from destseg.review.comparison import Comparison, read
from destseg.review.curves import charts

from .comparisons import content, write

ROC = {
    "champion": [[0.0, 0.0], [0.0, 0.5], [0.05, 0.6], [0.2, 0.6], [1.0, 1.0]],
    "challenger": [[0.0, 0.0], [0.0, 0.75], [0.1, 0.75], [1.0, 1.0]],
}
PRECISION = {"champion": [[0.5, 1.0], [0.9, 0.25]], "challenger": [[0.25, 0.5], [0.75, 0.75], [0.95, 0.125]]}


def comparison(folder: Path, *, champion: int | None = 1, older: bool = False) -> Comparison:
    known = content("washer", champion=champion)
    for role in ("champion", "challenger"):
        if known[role]:
            known[role]["curves"] = {"image_roc": ROC[role], "pixel_precision_recall": PRECISION[role]}
            if older:
                del known[role]["curves"]
    return read(write(folder, known) / "comparison.json")


def test_both_models_are_in_both_drawings_and_the_champions_line_covers_the_challengers(tmp_path: Path) -> None:
    found = charts(comparison(tmp_path))
    assert [(chart.kind.name, chart.models) for chart in found] == [
        ("image_roc", ("champion", "challenger")),
        ("pixel_precision_recall", ("champion", "challenger")),
    ]
    for chart, points in zip(found, (ROC, PRECISION), strict=True):
        drawing = ET.fromstring(chart.svg)
        assert drawing.attrib["aria-label"].startswith(f"{chart.kind.title}: champion and challenger")
        lines = drawing.findall("polyline")
        assert [line.attrib["class"] for line in lines] == ["line line0", "line line1"]
        drawn = [len(line.attrib["points"].split()) for line in lines]
        assert drawn == [len(points["challenger"]), len(points["champion"])]
        assert {chart.kind.x, chart.kind.y} <= {text.text for text in drawing.findall("text")}


def test_the_table_has_the_best_that_a_curve_reaches(tmp_path: Path) -> None:
    roc, precision = charts(comparison(tmp_path))
    assert roc.rows == (
        (0.0, (0.5, 0.75)),
        (0.01, (0.5, 0.75)),
        (0.05, (0.6, 0.75)),
        (0.1, (0.6, 0.75)),
        (0.2, (0.6, 0.75)),
    )
    assert precision.rows == (
        (0.25, (1.0, 0.75)),
        (0.5, (1.0, 0.75)),
        (0.75, (0.25, 0.75)),
        (0.9, (0.25, 0.125)),
        (0.95, (None, 0.125)),
    )


def test_without_a_champion_there_is_one_line(tmp_path: Path) -> None:
    for chart in charts(comparison(tmp_path, champion=None)):
        assert chart.models == ("challenger",)
        (line,) = ET.fromstring(chart.svg).findall("polyline")
        assert line.attrib["class"] == "line line0"
        assert all(len(values) == 1 for _, values in chart.rows)


@pytest.mark.parametrize("champion", [None, 1])
def test_a_comparison_of_before_curves_were_kept_has_none(tmp_path: Path, champion: int | None) -> None:
    assert charts(comparison(tmp_path, champion=champion, older=True)) == []
