"""Requests to a real S3 server, and what is said when they fail."""

import threading

import pytest

from destseg import Error
from destseg.storage import s3


def test_what_is_uploaded_is_listed_and_downloaded(bucket: str) -> None:
    for key in ("inbox/washer/b.png", "inbox/washer/a.png", "inbox/washer2/c.png"):
        s3.upload(bucket, key, key.encode())
    found = list(s3.list_objects(bucket, "inbox/washer/"))
    assert [item.key for item in found] == ["inbox/washer/a.png", "inbox/washer/b.png"]
    content, etag = s3.download(bucket, found[0].key, 100)
    assert (content, etag) == (b"inbox/washer/a.png", found[0].etag)
    assert found[0].size == len(content)


def test_a_listing_has_more_than_one_page(bucket: str) -> None:
    for index in range(1005):
        s3.upload(bucket, f"many/{index:04}", b"")
    assert sum(1 for _ in s3.list_objects(bucket, "many/")) == 1005


def test_a_large_object_is_refused_before_it_is_read(bucket: str) -> None:
    s3.upload(bucket, "large", bytes(1000))
    with pytest.raises(s3.ObjectTooLarge, match="1,000 bytes, expected at most 999"):
        s3.download(bucket, "large", 999)
    assert len(s3.download(bucket, "large", 1000)[0]) == 1000


def test_an_object_is_deleted_only_when_it_is_the_one_that_was_seen(bucket: str) -> None:
    s3.upload(bucket, "x", b"first")
    seen = s3.etag(bucket, "x")
    assert seen is not None
    s3.upload(bucket, "x", b"second")
    assert not s3.delete_if_unchanged(bucket, "x", seen)
    assert s3.download(bucket, "x", 100)[0] == b"second"
    assert s3.delete_if_unchanged(bucket, "x", s3.etag(bucket, "x") or "")
    assert s3.etag(bucket, "x") is None
    assert s3.delete_if_unchanged(bucket, "x", seen)  # gone is gone


def test_a_copy_has_the_same_bytes(bucket: str) -> None:
    s3.upload(bucket, "from/ä b.png", b"bytes")
    s3.copy(bucket, "from/ä b.png", "to/x.png")
    assert s3.download(bucket, "to/x.png", 100)[0] == b"bytes"


def test_a_missing_object_has_an_error_of_its_own(bucket: str) -> None:
    with pytest.raises(s3.MissingObject, match=f"s3://{bucket}/nothing"):
        s3.download(bucket, "nothing", 100)
    with pytest.raises(s3.MissingObject):
        s3.copy(bucket, "nothing", "anywhere")


def test_a_missing_bucket_is_named_with_the_server(s3_server: str) -> None:
    with pytest.raises(Error, match=f"s3://no-such-bucket/x at {s3_server}: the bucket does not exist"):
        list(s3.list_objects("no-such-bucket", "x"))


def test_a_wrong_secret_points_at_the_environment(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Error, match="AWS_SECRET_ACCESS_KEY"):
        list(s3.list_objects(bucket))


def test_a_server_that_is_not_there_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Error, match=r"127\.0\.0\.1:9.*AWS_ENDPOINT_URL"):
        list(s3.list_objects(bucket))


def test_threads_share_a_client(bucket: str) -> None:
    threads = [threading.Thread(target=s3.upload, args=(bucket, f"t/{n}", b"x")) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(1 for _ in s3.list_objects(bucket, "t/")) == 16
