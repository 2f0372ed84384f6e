"""What waits is told by a digest: the same inbox starts nothing twice."""

from datetime import UTC, datetime

from destseg.storage.s3 import Object
from flows.poll import digests


def item(key: str, etag: str = "a", size: int = 10) -> Object:
    return Object(key=key, size=size, etag=etag, modified=datetime.now(UTC))


def test_each_category_has_a_digest_of_its_own() -> None:
    found = digests([item("inbox/washer/1.png"), item("inbox/fabric/a/2.png")])
    assert found.keys() == {"washer", "fabric"}
    assert digests([item("inbox/washer/1.png")]) == {"washer": found["washer"]}


def test_a_digest_changes_with_what_waits_and_with_nothing_else() -> None:
    one, two = item("inbox/washer/1.png"), item("inbox/washer/2.png")
    assert digests([one, two]) == digests([two, one]) == digests([item("inbox/washer/1.png"), two])
    others = [[one], [one, item("inbox/washer/3.png")], [one, item("inbox/washer/2.png", etag="b")]]
    assert len({digests(objects)["washer"] for objects in [[one, two], *others]}) == 4


def test_what_lies_below_no_category_is_nobodys() -> None:
    keys = ["inbox/", "inbox/stray.png", "inbox/No Category/1.png", "inbox/../1.png", "inbox/-/1.png"]
    assert digests([item(key) for key in keys]) == {}
    assert digests([item("inbox/washer/", size=0)]) == {}  # a console's folder
