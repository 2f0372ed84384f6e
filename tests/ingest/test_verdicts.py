"""What becomes of each photograph of a batch, beside the dataset and beside the others."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from destseg.ingest.inbox import Part, Photograph
from destseg.ingest.verdicts import Verdicts, judged
from destseg.storage.s3 import Object

KNOWN = {"train/good/a.png": "md5-a", "test/crack/b.png": "md5-b", "ground_truth/crack/b_mask.png": "md5-m"}


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def photograph(content: str, key: str = "", hours: float = 0, mask: str = "", **fields: Any) -> Photograph:
    """As if read from the inbox; `content` stands for its bytes."""
    about = {"etag": "e", "size": 1, "modified": ago(hours).isoformat()}
    part = Part(key="mask", md5=f"md5-{mask}", **about) if mask else None  # type: ignore[arg-type]
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    key = key or content
    return Photograph(key=key, sha256=sha256, md5=f"md5-{content}", suffix=".png", mask=part, **about, **fields)  # type: ignore[arg-type]


def verdicts(*photographs: Photograph, alone: tuple[Object, ...] = ()) -> Verdicts:
    return judged(photographs, alone, KNOWN, mask_wait=72)


def reasons(found: Verdicts) -> list[str]:
    return [part.reason or "" for part in [*found.rejected, *found.strays]]


def test_what_the_dataset_has_is_known_as_what_it_is() -> None:
    found = verdicts(photograph("a"), photograph("b", kind="crack", mask="m"), photograph("b", "again", kind="crack"))
    assert len(found.duplicates) == 3
    assert not found.accepted


def test_a_known_photograph_is_nothing_else() -> None:
    found = verdicts(photograph("a", kind="crack"), photograph("b"), photograph("b", kind="crack", mask="other"))
    assert [("train/good/a.png; it cannot be crack" in reasons(found)[0])] == [True]
    assert "test/crack/b.png; it cannot be good" in reasons(found)[1]
    assert "with another mask; remove it there first" in reasons(found)[2]


def test_of_the_same_content_the_first_is_taken() -> None:
    found = verdicts(photograph("n", "one"), photograph("n", "two"), photograph("x"))
    assert {one.key for one in found.accepted.values()} == {"one", "x"}
    assert [one.key for one in found.duplicates] == ["two"]
    assert {one.name for one in found.accepted.values()} == {
        f"train/good/{hashlib.sha256(content).hexdigest()[:16]}.png" for content in (b"n", b"x")
    }


def test_what_came_as_two_things_is_taken_as_neither() -> None:
    found = verdicts(
        photograph("n", "good"),
        photograph("n", "bad", kind="crack", mask="1"),
        photograph("d", kind="crack", mask="1"),
        photograph("d", kind="crack", mask="2"),
    )
    assert not found.accepted
    assert ["as crack and as good" in reason for reason in reasons(found)] == [True, True, False, False]
    assert ["different masks" in reason for reason in reasons(found)] == [False, False, True, True]


def test_a_defect_waits_for_its_mask_up_to_the_limit() -> None:
    found = verdicts(photograph("n", kind="crack"), photograph("o", "line/o.png", kind="crack", hours=73))
    assert [part.key for part in found.pending] == ["n"]
    assert reasons(found) == ["no mask came within 72 hours, expected line/o_mask.png (ingest.mask_wait_hours)"]


def test_a_defect_that_came_again_with_its_mask_is_taken() -> None:
    found = verdicts(photograph("n", "bare", kind="crack", hours=99), photograph("n", "whole", kind="crack", mask="1"))
    assert [one.key for one in found.accepted.values()] == ["whole"]
    assert [one.key for one in found.duplicates] == ["bare"]
    assert set(next(iter(found.accepted.values())).files()) == {
        f"test/crack/{hashlib.sha256(b'n').hexdigest()[:16]}.png",
        f"ground_truth/crack/{hashlib.sha256(b'n').hexdigest()[:16]}_mask.png",
    }


def test_a_mask_or_sidecar_alone_waits_up_to_the_limit() -> None:
    def item(key: str, hours: float) -> Object:
        return Object(key=key, size=1, etag="e", modified=ago(hours))

    found = verdicts(alone=(item("young_mask.png", 71), item("old_mask.png", 73), item("old.json", 73)))
    assert [part.key for part in found.pending] == ["young_mask.png"]
    assert [reason.split(" did not")[0] for reason in reasons(found)] == [
        "the mask of a photograph that",
        "the sidecar of a photograph that",
    ]


def test_a_postponed_batch_keeps_what_is_known() -> None:
    found = verdicts(photograph("n", "one", hours=5), photograph("n", "two"), photograph("a"))
    assert 5 <= found.waited < 5.1
    later = found.postponed()
    assert (later.accepted, later.later, [one.key for one in later.done()]) == ({}, 2, ["a"])
