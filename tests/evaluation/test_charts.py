"""The report's charts are well-formed SVG with every image and every point inside the frame."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from destseg.evaluation.charts import Line, line_chart, strip_chart


def test_a_curve_stays_inside_its_frame_and_ends_in_its_corners():
    share = np.linspace(0, 1, 50)
    chart = ET.fromstring(line_chart([Line(name="a", x=0.3 * share, y=share)], x_label="x", y_label="<y>", x_max=0.3))
    width, height = map(float, chart.attrib["viewBox"].split()[2:])
    points = [tuple(map(float, point.split(","))) for point in chart.find("polyline").attrib["points"].split()]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    assert (points[0], points[-1]) == ((46, 238), (328, 10))


@pytest.mark.parametrize("top", [1e-9, 0.03, 0.97, 1.0, 40.0])
def test_every_image_is_a_dot_on_its_side_of_the_threshold(top):
    rows = [("good", np.array([0, 0.1]) * top), ("a & b", np.array([0.2, 0.9, 1.0]) * top)]
    chart = ET.fromstring(strip_chart(rows, 0.5 * top))
    dots = [(dot.attrib["class"], float(dot.attrib["cx"])) for dot in chart.findall("circle")]
    assert [side for side, _ in dots] == ["below", "below", "below", "above", "above"]
    line = float(chart.find("path[@class='threshold']").attrib["d"][1:].split(",")[0])
    assert all((place > line) == (side == "above") for side, place in dots)
    assert "a & b" in [text.text for text in chart.findall("text")]


@pytest.mark.parametrize("value", [0.0, 0.4, -2.0])
def test_equal_scores_without_a_threshold_are_drawn(value):
    assert len(ET.fromstring(strip_chart([("good", np.full(3, value))], None)).findall("circle")) == 3


def test_no_image_at_all_is_drawn():
    assert ET.fromstring(strip_chart([], None)).findall("circle") == []


@pytest.mark.parametrize(("low", "high"), [(0.19, 0.2), (0.0, 1.0), (3.0, 3.0001), (1e-9, 4e-9), (0, 7.9), (-1, 40)])
def test_the_axis_has_a_few_different_numbers_where_the_scores_are(low, high):
    chart = ET.fromstring(strip_chart([("good", np.array([low, high]))], None))
    ticks = [text.text for text in chart.findall("text") if text.attrib.get("class") != "name"]
    assert 2 <= len(set(ticks)) == len(ticks) <= 7
    first, second = (float(dot.attrib["cx"]) for dot in chart.findall("circle"))
    assert second - first > 600  # of 720: the scores fill the width
    places = [float(text.attrib["x"]) for text in chart.findall("text") if text.attrib.get("class") != "name"]
    expected = np.interp([float(tick) for tick in ticks], [low, high], [first, second], left=np.nan, right=np.nan)
    inside = ~np.isnan(expected)
    assert inside.any()
    assert np.array(places)[inside] == pytest.approx(expected[inside], abs=0.6)


def test_a_long_name_is_cut_and_told_in_full():
    name = "scratch " * 20
    (text,) = ET.fromstring(strip_chart([(name, np.ones(1))], None)).findall("text[@class='name']")
    assert len(text.text) == 50
    assert text.text.endswith("\u2026")
    assert text.find("title").text == name
