import pytest

from destseg.registry.origins import arrival, moment, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-26T08:47:49.439000+00:00", "2026-11-26 08:47:49 UTC"),
        ("2026-11-26T09:47:49+01:00", "2026-11-26 08:47:49 UTC"),
        ("2026-11-26 09:47", "2026-11-26 09:47:00"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00+23:00"),
        ("early shift", "early shift"),
    ],
)
def test_times_are_shown_to_the_second_and_other_text_as_it_is(text: str, shown: str) -> None:
    assert moment(text) == shown


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("größe 1\x1b[2J\n\u202e") == "größe 1\\x1b[2J\\n\\u202e"


def test_the_time_of_the_sidecar_counts_before_that_of_the_object() -> None:
    record = {"etag": "e", "keys": ["a", "b"], "modified": "2026-11-26T08:00", "time": "2026-11-25T08:00", "line": "2"}
    assert arrival(record) == "as a, b, 2026-11-25 08:00:00, line 2"
    assert arrival({"etag": "e", "keys": ["a"]}) == "as a, at an unknown time"


def test_an_image_of_dataset_add_that_came_again_through_the_inbox_has_both_ways() -> None:
    record = {"name": "train/good/1.png", "keys": ["inbox/w/7.png", "train/good/1.png"], "modified": "2026-11-26T08:00"}
    assert arrival(record) == "with dataset add, file of 2026-11-26 08:00:00, again as inbox/w/7.png"
