"""What belongs together in the inbox, by its keys alone."""

from datetime import UTC, datetime, timedelta

import pytest

from destseg.ingest.arrivals import Arrival, arrivals
from destseg.storage.s3 import Object

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def sorted_out(*names: str) -> tuple[list[Arrival], list[str]]:
    """Of objects that came one minute after the other, in this order."""
    objects = [
        Object(key=f"inbox/washer/{name}", size=1, etag="e", modified=NOON + timedelta(minutes=index))
        for index, name in enumerate(names)
    ]
    found, alone = arrivals(objects, "washer")
    return found, [item.key.removeprefix("inbox/washer/") for item in alone]


def test_photographs_of_good_parts_lie_anywhere_and_come_in_their_order() -> None:
    found, alone = sorted_out("z.png", "line 1/cam/a.jpg", "b")
    assert [one.photograph.key for one in found] == [
        "inbox/washer/z.png",
        "inbox/washer/line 1/cam/a.jpg",
        "inbox/washer/b",
    ]
    assert {(one.kind, one.mask, one.sidecar, one.reason, one.unpaired) for one in found} == {
        ("good", None, None, None, False)
    }
    assert alone == []


def test_a_defect_comes_with_its_mask_and_waits_behind_the_others_without() -> None:
    found, alone = sorted_out(
        "defects/crack/2.png", "defects/crack/deep/1.bmp", "defects/crack/deep/1_mask.png", "good.png"
    )
    assert [one.photograph.key.rpartition("/")[2] for one in found] == ["1.bmp", "good.png", "2.png"]
    assert found[0].mask is not None
    assert found[0].mask.key == "inbox/washer/defects/crack/deep/1_mask.png"
    assert [(one.kind, one.unpaired) for one in found] == [("crack", False), ("good", False), ("crack", True)]
    assert alone == []


def test_a_sidecar_belongs_to_one_photograph() -> None:
    found, alone = sorted_out(
        "a.png", "a.json", "b.png", "b.png.json", "b.json", "defects/dent/c.png", "defects/dent/c.JSON"
    )
    assert [one.sidecar and one.sidecar.key.rpartition("/")[2] for one in found] == ["a.json", "b.png.json", None]
    assert alone == ["b.json", "defects/dent/c.JSON"]


def test_masks_and_sidecars_alone_are_no_photographs() -> None:
    assert sorted_out("defects/crack/1_mask.png", "a.json") == ([], ["defects/crack/1_mask.png", "a.json"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a_mask.png", "a mask belongs beside its photograph in defects/<kind>/"),
        ("defects/a.png", "belongs in defects/<kind>/, which says what the defect is"),
        ("defects/good/a.png", "'good' can be no defect type"),
        ("defects/../a.png", "'..' can be no defect type"),
        ("defects/Ritz & Kratzer/a.png", "can be no defect type; expected 1 to 48 of a-z"),
    ],
)
def test_what_lies_in_the_wrong_place_is_named(name: str, words: str) -> None:
    (found,), _ = sorted_out(name)
    assert words in (found.reason or "")
    assert not found.unpaired
