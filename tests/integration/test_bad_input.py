"""All that may wrongly come into an inbox, at once: each object ends in the dataset or, with why, in quarantine."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from destseg.dataset import provenance
from destseg.ingest.batch import BatchResult
from destseg.storage import s3, versions

from ..conftest import make_bucket, make_origin
from ..ingest.corpus import KEYS, MASKS, ODD_KEYS, PHOTOGRAPHS, SIDECARS, photograph, saved, sent_under
from .line import Line, first_version

INBOX = "inbox/washer/"
MARKERS = ["2026/", "2026/11/"]  # as consoles make them for a folder


@pytest.fixture
def moto(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: ARG001  # its credentials
    """Address of an S3 server that takes every key, which the environment names instead of the other."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    yield f"http://{host}:{port}"
    server.stop()


def corpus(keys: list[str]) -> tuple[dict[str, bytes], set[str], dict[str, str]]:
    """(what is sent, below the inbox; which of it is accepted; words of the reason why the rest is not)."""
    sent = {key: sent_under(key) for key in keys}
    accepted, refused = set(sent), {}
    for case in PHOTOGRAPHS:
        if case.bit_depth == 8:  # as the project says
            sent[case.name] = case.content
            if case.words is None:
                accepted.add(case.name)
            else:
                refused[case.name] = case.words
    for case in MASKS:
        name, mask = f"defects/crack/{case.stem}.png", f"defects/crack/{case.stem}_mask.png"
        sent |= {name: saved(photograph(name)), mask: case.content}
        if case.words is None:
            accepted |= {name, mask}
        else:
            refused |= {name: case.words, mask: f"belongs to {INBOX}{name}: .*({case.words})"}
    for case in SIDECARS:
        name, sidecar = f"line/{case.stem}.png", f"line/{case.name}"
        sent |= {name: saved(photograph(name)), sidecar: case.content}
        accepted.add(name)
        if case.words is None:
            accepted.add(sidecar)
        else:
            refused[sidecar] = case.words
    return sent, accepted, refused


def assert_accounted(
    line: Line, root: Path, sent: dict[str, bytes], accepted: set[str], refused: dict[str, str]
) -> None:
    listed, records = set(versions.listing(root, "washer").values()), provenance.read(root, "washer")
    remote = set(line.keys("dvc/files/md5/"))
    origins = {key for record in records for key in [*record["keys"], record.get("mask_key")] if key}
    for name in accepted - {f"line/{case.name}" for case in SIDECARS}:
        md5 = hashlib.md5(sent[name]).hexdigest()
        assert md5 in listed, name
        assert f"{md5[:2]}/{md5[2:]}" in remote, name
        assert INBOX + name in origins, name
    assert {record.get("line") for record in records} == {None, "L1", "Straße"}

    quarantined = line.keys("quarantine/")
    abouts = {}
    for key in quarantined:
        if f"{key}.json" in quarantined:
            about = json.loads(s3.download(line.bucket, f"quarantine/{key}.json", 10_000)[0])
            name = about["key"].removeprefix(INBOX)
            assert s3.download(line.bucket, f"quarantine/{key}", 10**8)[0] == sent[name]
            assert re.search(refused[name], about["reason"]), (name, about["reason"])
            assert name not in abouts
            abouts[name] = key
    assert set(abouts) == set(refused)
    assert len(quarantined) == 2 * len(abouts)


@pytest.mark.parametrize(("server", "keys"), [("s3_server", KEYS), ("moto", ODD_KEYS)], ids=["files", "any key"])
def test_every_object_is_accounted_for(
    server: str, keys: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    line = first_version(make_origin(tmp_path, make_bucket(request.getfixturevalue(server))), tmp_path)
    sent, accepted, refused = corpus(keys)
    markers = MARKERS if server == "moto" else []
    line.send(sent | dict.fromkeys(markers, b""))
    assert sorted(line.keys(INBOX)) == sorted([*sent, *markers])

    root = line.clone()
    result = line.ingest(root, max_reject_share=1.0)
    assert line.keys(INBOX) == markers
    assert_accounted(line, root, sent, accepted, refused)
    twins = sent_under("twin-1.png")
    assert (result.duplicates, result.waiting) == (1, 0)
    assert {INBOX + "twin-1.png", INBOX + "twin-2.png"} == {
        key
        for record in provenance.read(root, "washer")
        if record["sha256"] == hashlib.sha256(twins).hexdigest()
        for key in record["keys"]
    }

    head, objects = line.origin_head(), line.keys("")
    assert line.ingest(max_reject_share=1.0) == BatchResult(category="washer")
    assert (line.origin_head(), line.keys("")) == (head, objects)
