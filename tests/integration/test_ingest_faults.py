"""Whole ingests through a proxy that fails: what fails for a while delays, what goes on failing costs nothing."""

import configparser
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.ingest.batch import BatchResult
from destseg.storage import s3

from .line import Line, first_version, photograph
from .proxy import Fault, Proxy, proxied

BOUND = 120.0  # seconds; it takes a tenth of that


class Faulty:
    """A line behind a proxy, and the batch that waits in its inbox."""

    def __init__(self, line: Line, proxy: Proxy) -> None:
        self.line, self.proxy = line, proxy
        self.files = self.listing()
        self.good, self.bad = [photograph(), photograph()], photograph()[:-99]
        line.send({"1.png": self.good[0], "2.png": self.good[1], "bad.png": self.bad})
        self.quarantined = line.quarantined("bad")

    def ingest(self) -> BatchResult:
        root = self.line.clone()
        (root / ".dvc/config.local").write_text("['remote \"storage\"']\n    read_timeout = 1\n")
        return self.line.ingest(root)

    def state(self) -> tuple[object, ...]:
        """All that an ingest changes."""
        objects = [(item.key, item.etag) for item in s3.list_objects(self.line.bucket)]
        return self.line.origin_head(), objects

    def stored(self, name: str) -> bytes:
        """An object of the DVC remote, whole."""
        content = s3.download(self.line.bucket, f"dvc/files/md5/{name[:2]}/{name[2:]}", 1_000_000)[0]
        assert hashlib.md5(content).hexdigest() == name.removesuffix(".dir")
        return content

    def listing(self) -> dict[str, str]:
        """MD5 by name of what origin's version holds, from the remote."""
        return {row["relpath"]: row["md5"] for row in json.loads(self.stored(self.line.version()))}

    def settled(self) -> None:
        """As after an undisturbed run: the same dataset hash, every file of it in the remote, nothing lost or twice."""
        assert self.line.version() == self.line.version_with(self.files, self.good)
        assert self.line.keys("inbox/") == []
        assert self.line.quarantined("bad") == self.quarantined + 1
        for md5 in self.listing().values():
            self.stored(md5)


@pytest.fixture(scope="module")
def line(shared_origin: Any, tmp_path_factory: pytest.TempPathFactory) -> Line:
    return first_version(shared_origin, tmp_path_factory.mktemp("plant"))


@pytest.fixture
def batch(line: Line, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    with proxied(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")  # of DVC's, most of which s3fs makes five times and more
        monkeypatch.setenv("DESTSEG_S3_TIMEOUT", "0.5")
        yield Faulty(line, proxy)


def test_when_every_request_fails_once_the_batch_still_becomes_a_version(batch: Faulty) -> None:
    """The first of each is answered 503, the second cut in the middle of its body, the third works."""
    busy = Fault("answers", status=503, code="SlowDown", times=1)
    cut = Fault("cuts the answer", "(GET|PUT|DELETE) ", times=1)
    with batch.proxy.suffers(busy, cut):
        result = batch.ingest()
    assert (result.accepted, result.rejected, result.waiting) == (2, 1, 0)
    assert busy.count > 15
    assert cut.count > 10
    batch.settled()


READING = {
    "inbox denied": (Fault("answers", "list-type", status=403, code="AccessDenied"), "AccessDenied.*what they may do"),
    "bucket gone": (Fault("answers", status=404, code="NoSuchBucket"), "the bucket does not exist; create it"),
    "photographs stall": (Fault("stalls", "GET .*/inbox/"), r"inbox/washer/\S+ at .*Read timeout.*run again"),
    "photographs cut": (Fault("cuts the answer", "GET .*/inbox/"), "reset by peer.*run again"),
    "dataset stalls": (Fault("stalls", "GET .*/dvc/"), "list .* failed.*\n.*Read timeout"),
    "dataset cut": (Fault("cuts the answer", "GET .*/dvc/"), "list .* failed.*\n.*reset by peer"),
    "dataset denied": (Fault("answers", "/dvc/", status=403, code="AccessDenied"), "list .* failed.*\n.*Forbidden"),
}


def test_what_fails_while_reading_changes_nothing(batch: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    before = batch.state()
    for name, (fault, words) in READING.items():
        begun = time.monotonic()
        with batch.proxy.suffers(fault), pytest.raises(Error, match=f"(?s){words}"):
            batch.ingest()
        assert fault.count, name
        assert time.monotonic() - begun < BOUND, name
        assert batch.state() == before, name
    batch.ingest()
    batch.settled()


def test_a_server_that_is_gone_changes_nothing(batch: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Error, match=r"127\.0\.0\.1:9: .*check AWS_ENDPOINT_URL"):
        batch.ingest()
    monkeypatch.setenv("AWS_ENDPOINT_URL", batch.proxy.address)
    batch.ingest()
    batch.settled()


TELLING = {
    "500": (Fault("answers", "PUT .*/dvc/", code="InternalError"), "InternalError"),
    "denied": (Fault("answers", "PUT .*/dvc/", status=403, code="AccessDenied"), "AccessDenied"),
    "stalls": (Fault("stalls", "PUT .*/dvc/"), "Read timeout"),
}
CUTTING = {"cut": (Fault("cuts the request", "PUT .*/dvc/"), "127.0.0.1")}
LOSING = {"answer lost": (Fault("loses it", "PUT .*/dvc/"), "127.0.0.1")}


@pytest.mark.parametrize("faults", [TELLING, CUTTING, LOSING], ids=["refused", "cut", "answer lost"])
def test_what_fails_in_dvc_push_leaves_inbox_and_version_as_they_were(
    batch: Faulty, monkeypatch: pytest.MonkeyPatch, faults: dict[str, tuple[Fault, str]]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    head, inbox = batch.line.origin_head(), batch.line.keys("inbox/")
    for name, (fault, words) in faults.items():
        begun = time.monotonic()
        with batch.proxy.suffers(fault), pytest.raises(Error, match=rf"(?s)`dvc push .* failed .*{words}"):
            batch.ingest()
        assert fault.count, name
        assert time.monotonic() - begun < BOUND, name
        assert (batch.line.origin_head(), batch.line.keys("inbox/")) == (head, inbox), name
    batch.ingest()
    batch.settled()


def test_this_projects_dvc_waits_for_no_silent_server_for_ever() -> None:
    """DVC's own default is no limit."""
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / ".dvc/config")
    remote = config["'remote \"storage\"'"]
    assert 0 < remote.getint("connect_timeout") <= remote.getint("read_timeout") <= 60


@pytest.mark.parametrize(
    "fault",
    [
        Fault("answers", "PUT .*/quarantine/", status=403, code="AccessDenied"),
        Fault("answers", "DELETE", code="InternalError"),
        Fault("loses it", "DELETE"),
    ],
    ids=["quarantine denied", "deletion 500", "deletion's answer lost"],
)
def test_what_fails_after_the_push_is_tidied_up_by_the_next_run(batch: Faulty, fault: Fault) -> None:
    with batch.proxy.suffers(fault), pytest.raises(Error, match="s3://"):
        batch.ingest()
    assert fault.count
    assert batch.line.version() == batch.line.version_with(batch.files, batch.good)
    result = batch.ingest()
    assert result.accepted == 0
    batch.settled()
