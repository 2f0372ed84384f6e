"""Keys in quarantine: stable, never shared, harmless whatever the key in the inbox was."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destseg.ingest import quarantine
from destseg.ingest.inbox import Photograph


def photograph(below: str, etag: str = "e1") -> Photograph:
    key = f"inbox/washer/{below}"
    return Photograph(key=key, etag=etag, size=1, modified="2026-11-22T10:00:00+00:00", reason="broken")


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("x.png", r"quarantine/washer/2026-11-22/x-[0-9a-f]{8}\.png"),
        ("line 1/cam2/x.y.png", r"quarantine/washer/2026-11-22/line_1/cam2/x\.y-[0-9a-f]{8}\.png"),
        ("noname", r"quarantine/washer/2026-11-22/noname-[0-9a-f]{8}"),
        ("../../champion/x.png", r"quarantine/washer/2026-11-22/champion/x-[0-9a-f]{8}\.png"),
        ("..", r"quarantine/washer/2026-11-22/unnamed-[0-9a-f]{8}"),
    ],
)
def test_folders_and_name_are_kept_as_far_as_they_are_harmless(below: str, expected: str) -> None:
    assert re.fullmatch(expected, quarantine.key("washer", photograph(below)))


def test_another_photograph_under_the_same_key_takes_no_others_place() -> None:
    first, second = photograph("x.png", "e1"), photograph("x.png", "e2")
    assert quarantine.key("washer", first) == quarantine.key("washer", first) != quarantine.key("washer", second)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=900))
def test_no_key_leaves_the_categorys_quarantine(below: str) -> None:
    key = quarantine.key("washer", photograph(below.encode("utf-8", "replace").decode()))
    assert re.fullmatch(r"quarantine/washer/2026-11-22(/[A-Za-z0-9._-]+){1,7}", key)
    assert not {".", "..", ""} & set(key.split("/"))
    assert len(key) < 1000
