"""The gallery's order, and the operating points as the slider has them."""

from pathlib import Path

import pytest

from destseg.review.comparison import Comparison, read
from destseg.review.gallery import VIEWS, counts, first_view, says, select
from destseg.review.points import slider

from .comparisons import KINDS, content, write


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return read(write(tmp_path, content("washer", champion=1)) / "comparison.json")


def test_what_matters_comes_first(comparison: Comparison) -> None:
    names = [one.image.name for one in select(comparison, "all", "")]
    assert len(names) == sum(KINDS.values())
    assert names[0] == comparison.newly_missed[0]
    assert set(names[1:5]) == set(comparison.newly_caught)
    assert names[5] == "test/good/003.png"


def test_a_view_and_a_kind_leave_what_belongs_to_both(comparison: Comparison) -> None:
    assert counts(comparison, "") == {"missed": 1, "caught": 4, "alarms": 1, "escapes": 1, "all": 40}
    assert counts(comparison, "scratch") == {"missed": 0, "caught": 3, "alarms": 0, "escapes": 0, "all": 8}
    assert [one.index for one in select(comparison, "missed", "dent")] == [20]
    assert select(comparison, "missed", "scratch") == []
    assert select(comparison, "all", "no such kind") == []


def test_the_first_view_is_the_first_that_has_an_image(comparison: Comparison, tmp_path: Path) -> None:
    assert first_view(comparison) == "missed"
    calm = content("washer", champion=1, newly_missed=[], newly_caught=[])
    for row in calm["images"]:
        row["challenger"]["rejected"] = row["kind"] != "good"
    assert first_view(read(write(tmp_path / "calm", calm) / "comparison.json")) == "all"


def test_an_image_lists_the_pictures_that_the_gallery_has(comparison: Comparison, tmp_path: Path) -> None:
    assert select(comparison, "all", "")[0].pictures == ("photo", "truth", "champion", "challenger")
    first = read(write(tmp_path / "first", content("washer")) / "comparison.json")
    assert select(first, "all", "")[0].pictures == ("photo", "truth", "challenger")


def test_verdicts_are_said_in_words(comparison: Comparison) -> None:
    by_name = {image.name: image for image in comparison.images}
    missed, alarm = by_name[comparison.newly_missed[0]], by_name["test/good/003.png"]
    assert says(missed.champion, missed.kind) == "caught"
    assert says(missed.challenger, missed.kind) == "missed"
    assert says(alarm.champion, alarm.kind) == "accepted"
    assert says(alarm.challenger, alarm.kind) == "falsely rejected"
    assert set(VIEWS) >= {"missed", "caught", "alarms", "all"}


def test_the_slider_tells_what_each_point_would_do(comparison: Comparison) -> None:
    found = slider(comparison)
    assert found is not None
    now, strictest = found.places[found.current], found.places[0]
    assert (now.current, now.point.false_rejects, now.normals) == (True, 1, 20)
    assert (now.caught, now.defects) == (14, 20)
    assert now.caught_by_kind == (("dent", 8, 12), ("scratch", 6, 8))
    assert (strictest.caught, strictest.current) == (11, False)
    assert [place.x for place in found.places] == sorted(place.x for place in found.places)
    assert [place.y for place in found.places] == sorted((place.y for place in found.places), reverse=True)


def test_a_model_without_a_threshold_has_no_slider(tmp_path: Path) -> None:
    none = content("washer", operating_points=[], current=None)
    assert slider(read(write(tmp_path, none) / "comparison.json")) is None
