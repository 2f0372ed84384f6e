"""Requests to a real S3 server through a proxy that fails: tried again a few times, then one clear error."""

import time
from collections.abc import Callable, Iterator

import pytest

from destseg import Error
from destseg.storage import s3
from destseg.storage.process import ProcessError
from flows.commands import may_pass

from .proxy import Fault, Proxy, proxied

CONTENT = bytes(range(256)) * 1000
ATTEMPTS = 4
BOUND = 20.0  # seconds: four attempts, half a second of silence each, and at most 1 + 2 + 4 s between them


@pytest.fixture(scope="module")
def running(s3_server: str) -> Iterator[Proxy]:
    with proxied(s3_server) as proxy:
        yield proxy


@pytest.fixture
def proxy(running: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The address of the S3 server, with an object behind it."""
    s3.upload(bucket, "x", CONTENT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.address)
    monkeypatch.setenv("DESTSEG_S3_TIMEOUT", "0.5")
    return running


def download(bucket: str) -> object:
    return s3.download(bucket, "x", len(CONTENT))[0] == CONTENT


def copied_and_listed(bucket: str) -> object:
    s3.copy(bucket, "x", "new")
    return listing(bucket) == ["new", "x"] and s3.download(bucket, "new", len(CONTENT))[0] == CONTENT


def uploaded_and_deleted(bucket: str) -> object:
    s3.upload(bucket, "new", CONTENT)
    return s3.download(bucket, "new", len(CONTENT))[0] == CONTENT and delete(bucket) and listing(bucket) == ["new"]


def listing(bucket: str) -> object:
    return [item.key for item in s3.list_objects(bucket)]


def upload(bucket: str) -> object:
    return s3.upload(bucket, "x", CONTENT)


def delete(bucket: str) -> object:
    return s3.delete_if_unchanged(bucket, "x", s3.etag(bucket, "x") or "")


@pytest.mark.parametrize("work", [download, copied_and_listed, uploaded_and_deleted])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("answers", status=503, code="SlowDown", times=1),
        Fault("stalls", times=1),
        Fault("resets", times=1),
        Fault("cuts the answer", times=1),
        Fault("ends the answer early", times=1),
        Fault("cuts the request", times=1),
        Fault("loses it", times=1),
    ],
    ids=lambda fault: fault.does,
)
def test_what_fails_once_succeeds(proxy: Proxy, bucket: str, fault: Fault, work: Callable[[str], object]) -> None:
    fault.done.clear()
    with proxy.suffers(fault):
        assert work(bucket)
    assert fault.count


@pytest.mark.parametrize(
    ("fault", "work", "words"),
    [
        (Fault("answers", code="InternalError"), download, "InternalError"),
        (Fault("answers", status=503, code="SlowDown"), listing, "SlowDown"),
        (Fault("answers", "HEAD"), delete, "500"),
        (Fault("stalls"), download, "Read timeout"),
        (Fault("resets"), listing, "closed"),
        (Fault("cuts the answer", "GET"), download, "reset by peer"),
        (Fault("ends the answer early", "GET"), download, "128000 bytes read, 128000 more expected"),
        (Fault("cuts the request", "PUT"), upload, "closed"),
        (Fault("loses it", "DELETE"), delete, "closed"),
    ],
    ids=lambda value: value.does if isinstance(value, Fault) else None,
)
def test_what_goes_on_failing_ends_after_four_attempts(
    proxy: Proxy, bucket: str, fault: Fault, work: Callable[[str], object], words: str
) -> None:
    begun = time.monotonic()
    with proxy.suffers(fault), pytest.raises(Error) as failed:
        work(bucket)
    assert time.monotonic() - begun < BOUND
    assert fault.count == ATTEMPTS
    said = str(failed.value)
    assert said.startswith(f"s3://{bucket}/")
    assert f" at {proxy.address}: " in said
    assert words in said
    assert "run again" in said
    assert may_pass(ProcessError(["destseg"], 1, [said], None))  # a flow tries it again later


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("answers", status=403, code="AccessDenied"), "AccessDenied.*check AWS_ACCESS_KEY_ID"),
        (
            Fault("answers", status=404, code="NoSuchBucket"),
            "the bucket does not exist; create it or set DESTSEG_BUCKET",
        ),
        (Fault("answers", status=200, page="<p>Please log in"), "no answer of an S3 server.*check AWS_ENDPOINT_URL"),
    ],
    ids=["denied", "no bucket", "login page"],
)
def test_what_no_repetition_mends_fails_at_once(proxy: Proxy, bucket: str, fault: Fault, words: str) -> None:
    with proxy.suffers(fault), pytest.raises(Error, match=rf"^s3://{bucket}/x at {proxy.address}: .*{words}"):
        download(bucket)
    assert fault.count == 1


def test_a_body_that_is_cut_twice_is_read_until_it_is_whole(proxy: Proxy, bucket: str) -> None:
    faults = [Fault("cuts the answer", "GET", times=1), Fault("ends the answer early", "GET", times=1)]
    with proxy.suffers(*faults):
        assert download(bucket)
    assert [fault.count for fault in faults] == [1, 1]


def test_a_server_that_refuses_connections_is_named(
    bucket: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(s3_server) as gone:
        address = gone.address
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    begun = time.monotonic()
    with pytest.raises(Error, match=rf"^s3://{bucket}/x at {address}: .*check AWS_ENDPOINT_URL"):
        download(bucket)
    assert time.monotonic() - begun < BOUND


@pytest.mark.parametrize("value", ["0", "nan", "soon"])
def test_a_timeout_that_is_none_is_an_error(bucket: str, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DESTSEG_S3_TIMEOUT", value)
    with pytest.raises(Error, match=r"S3_TIMEOUT|s3_timeout"):
        download(bucket)
