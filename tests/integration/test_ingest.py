"""From photographs in the inbox to a pushed dataset version, on a real S3 server, git and DVC; killed and raced too."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.dataset import provenance
from destseg.ingest.batch import BatchResult
from destseg.storage import s3, versions

from .line import Line, black, executable, first_version, mask, photograph


@pytest.fixture(scope="module")
def plant(shared_origin: Any, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The line of this file's tests."""
    return first_version(shared_origin, tmp_path_factory.mktemp("plant"))


@pytest.fixture
def line(plant: Line) -> Iterator[Line]:
    """The plant, with an inbox that is empty before and after."""
    assert not plant.keys("inbox/")
    yield plant
    for item in s3.list_objects(plant.bucket, "inbox/"):
        s3.delete_if_unchanged(plant.bucket, item.key, item.etag)


def test_an_empty_inbox_asks_nothing_of_the_git_server(line: Line) -> None:
    root = line.clone()
    (root / ".git/config").write_text((root / ".git/config").read_text().replace("url = ", "url = /nowhere"))
    assert line.ingest(root) == BatchResult(category="washer")


def test_a_batch_becomes_the_next_version(line: Line) -> None:
    before = line.version()
    old = (line.folder / "source/train/good/a.png").read_bytes()
    good, jpeg, twice = photograph(), photograph("L", "JPEG"), photograph()
    line.send({"1.png": good, "cam2/2.png": jpeg, "3.png": twice, "4.png": twice, "5.png": old})
    line.send({"broken.png": photograph()[:-99], "black.png": black(), "alpha.png": photograph("RGBA")})
    root = line.clone()
    result = line.ingest(root)

    assert (result.accepted, result.rejected, result.duplicates, result.waiting) == (3, 3, 2, 0)
    assert "black" in result.reasons["inbox/washer/black.png"]
    assert result.dataset_version == line.version() != before
    assert not line.keys("inbox/")

    changed = versions.git(root, "show", "--name-only", "--format=%s", result.commit or "").split("\n")
    assert changed[0] == "washer: 3 new photographs"
    assert set(filter(None, changed[1:])) == {"data/mvtec/washer.dvc", "data/mvtec/washer.provenance.jsonl"}
    assert versions.is_clean(root)
    assert not (root / "data/mvtec/washer").exists()  # not pulled before, not pulled after

    records = provenance.read(root, "washer")
    assert sorted(record["keys"] for record in records if len(record["keys"]) > 1) == [
        ["inbox/washer/3.png", "inbox/washer/4.png"],
        ["inbox/washer/5.png", "train/good/a.png"],  # known since `add`
    ]
    versions.dvc(root, "pull", "data/mvtec/washer.dvc")
    names = {content: f"train/good/{hashlib.sha256(content).hexdigest()[:16]}" for content in (good, twice, jpeg)}
    for content, suffix in [(good, ".png"), (twice, ".png"), (jpeg, ".jpg")]:
        assert (root / "data/mvtec/washer" / (names[content] + suffix)).read_bytes() == content
    assert len(list((root / "data/mvtec/washer").rglob("*.*"))) == 8

    quarantined = line.keys("quarantine/washer/")
    assert len(quarantined) == 6
    (about,) = [key for key in quarantined if "/black-" in key and key.endswith(".json")]
    read = json.loads(s3.download(line.bucket, f"quarantine/washer/{about}", 10_000)[0])
    assert read["key"] == "inbox/washer/black.png"
    assert "black" in read["reason"]
    assert s3.download(line.bucket, f"quarantine/washer/{about.removesuffix('.json')}", 10_000)[0] == black()


def test_defects_come_with_masks_and_sidecars_say_where_a_photograph_was_taken(line: Line) -> None:
    cracked, alone, good = photograph(), photograph(), photograph()
    line.send({"defects/crack/7.png": cracked, "defects/crack/7_mask.png": mask(), "defects/crack/8.png": alone})
    line.send({"defects/crack/9.png": photograph(), "defects/crack/9_mask.png": mask(size=32)})
    line.send({"a.png": good, "a.json": b'{"line": "L2", "camera": "C7", "time": "2026-11-26T08:00"}'})
    line.send({"b.png": photograph(), "b.json": b"[1, 2]", "defects/c.png": photograph(), "odd_mask.png": mask()})
    root, quarantined = line.clone(), line.keys("quarantine/")
    result = line.ingest(root)

    assert (result.accepted, result.rejected, result.duplicates, result.waiting) == (3, 3, 0, 1)
    assert line.keys("inbox/washer/") == ["defects/crack/8.png"]  # waits for its mask
    assert "32x32 pixels, the photograph 64x64" in result.reasons["inbox/washer/defects/crack/9.png"]
    moved = [key for key in line.keys("quarantine/") if key not in quarantined and not key.endswith(".json.json")]
    names = ["b-", "odd_mask-", "defects/c-", "defects/crack/9-", "defects/crack/9_mask-"]
    assert all(any(name in key for key in moved) for name in names)
    assert len([key for key in moved if not key.endswith(".json")]) == 4  # and the sidecar that is no JSON object

    listed = versions.listing(root, "washer")
    name = hashlib.sha256(cracked).hexdigest()[:16]
    assert listed[f"test/crack/{name}.png"] == hashlib.md5(cracked).hexdigest()
    assert listed[f"ground_truth/crack/{name}_mask.png"] == hashlib.md5(mask()).hexdigest()
    records = {record["sha256"]: record for record in provenance.read(root, "washer")}
    record = records[hashlib.sha256(good).hexdigest()]
    assert [record[name] for name in ("line", "camera", "time", "version")] == [
        "L2",
        "C7",
        "2026-11-26T08:00",
        result.dataset_version,
    ]
    assert records[hashlib.sha256(cracked).hexdigest()]["mask_key"] == "inbox/washer/defects/crack/7_mask.png"

    assert line.ingest(mask_wait_hours=0.0).reasons == {
        "inbox/washer/defects/crack/8.png": "no mask came within 0 hours, "
        "expected inbox/washer/defects/crack/8_mask.png (ingest.mask_wait_hours)"
    }
    assert line.keys("inbox/washer/") == []


def test_a_photograph_that_is_known_adds_the_key_it_came_under(line: Line) -> None:
    again = photograph()
    line.send({"first.png": again})
    first = line.ingest()
    line.send({"again.png": again})
    root = line.clone()
    second = line.ingest(root)
    assert (second.accepted, second.duplicates, second.dataset_version) == (0, 1, None)
    assert versions.dataset_version(root, "washer") == first.dataset_version
    (keys,) = [one["keys"] for one in provenance.read(root, "washer") if "inbox/washer/first.png" in one["keys"]]
    assert keys == ["inbox/washer/again.png", "inbox/washer/first.png"]
    assert versions.head(root) == second.commit == line.origin_head()

    line.send({"again.png": again})
    assert line.ingest().commit is None  # nothing that was not known
    assert line.keys("inbox/washer/") == []


def test_a_small_batch_waits_no_longer_than_the_limit(line: Line) -> None:
    line.send({"lone.png": photograph()})
    assert line.ingest(min_batch=3).waiting == 1
    assert line.ingest(min_batch=3, max_wait_hours=0.0).accepted == 1


def test_few_photographs_wait_for_more_and_large_ones_do_not_come_in(line: Line) -> None:
    before = line.version()
    line.send({"1.png": photograph(), "2.png": photograph(), "large.bmp": photograph("RGB", "BMP") + bytes(100_000)})
    result = line.ingest(min_batch=3, max_bytes=50_000)
    assert (result.accepted, result.rejected, result.waiting) == (0, 1, 2)
    assert "expected at most 50,000 (ingest.max_bytes)" in result.reasons["inbox/washer/large.bmp"]
    assert result.dataset_version is None
    assert result.commit is None
    assert line.version() == before
    assert line.keys("inbox/washer/") == ["1.png", "2.png"]


def test_a_batch_that_is_mostly_unusable_stops_and_leaves_all_as_it_was(line: Line) -> None:
    before, quarantined = line.version(), line.keys("quarantine/")
    line.send({"1.png": photograph(), "2.png": black(), "3.png": b"no image"})
    with pytest.raises(Error, match=r"2 of 3 photographs .* are unusable .*black.*expected at most 50%"):
        line.ingest()
    assert line.keys("inbox/washer/") == ["1.png", "2.png", "3.png"]
    assert line.keys("quarantine/") == quarantined
    assert line.version() == before


def test_a_single_unusable_photograph_goes_to_quarantine(line: Line) -> None:
    before, quarantined = line.version(), len(line.keys("quarantine/"))
    line.send({"alone.png": black()})
    batch = line.ingest()
    assert (batch.accepted, batch.rejected, batch.dataset_version) == (0, 1, None)
    assert line.keys("inbox/washer/") == []
    assert len(line.keys("quarantine/")) == quarantined + 2  # with the sentence that says why
    assert line.version() == before


def test_killed_before_and_after_the_push_it_ends_in_the_same_version(line: Line) -> None:
    root = line.clone()
    before, files, quarantined = line.version(), versions.listing(root, "washer"), line.quarantined("bad")
    good, bad = [photograph() for _ in range(3)], photograph()[:-99]
    line.send({**{f"{index}.png": one for index, one in enumerate(good)}, "bad.png": bad})
    inbox = line.keys("inbox/")

    line.killed(Path("pre-push"))
    assert line.version() == before
    assert line.keys("inbox/") == inbox

    line.killed(line.origin.path / "hooks/post-receive")
    assert line.version() == line.version_with(files, good)
    assert line.keys("inbox/") == inbox

    result = line.ingest()
    assert (result.accepted, result.rejected, result.duplicates) == (0, 1, 3)
    assert line.version() == line.version_with(files, good)
    assert not line.keys("inbox/")
    assert line.quarantined("bad") == quarantined + 1


def test_of_two_at_once_the_slower_does_it_again_on_top_of_the_faster(line: Line) -> None:
    slow, fast = line.clone(), line.clone()
    files, quarantined = versions.listing(slow, "washer"), line.quarantined("bad")
    early, late = photograph(), photograph()
    line.send({"early.png": early, "bad.png": b"no image"})
    # While the slow one pushes, another photograph comes and the fast one takes the whole batch.
    (line.folder / "late.png").write_bytes(late)
    code = (
        f"import pathlib; from destseg.ingest.batch import IngestSettings, ingest; from destseg.storage import s3;"
        f"late = pathlib.Path({str(line.folder / 'late.png')!r}).read_bytes();"
        f"s3.upload({line.bucket!r}, 'inbox/washer/late.png', late);"
        f"ingest('washer', root=pathlib.Path({str(fast)!r}), bucket={line.bucket!r}, settings=IngestSettings())"
    )
    hook = slow / ".git/hooks/pre-push"
    executable(hook, f'#!/bin/sh\nunset GIT_DIR\nrm "$0"\nexec {sys.executable} -c "{code}"\n')
    result = line.ingest(slow)
    assert not hook.exists()
    assert line.version() == line.version_with(files, [early, late])
    assert (result.accepted, result.rejected, result.duplicates) == (0, 0, 0)  # the fast one had taken everything
    assert versions.head(slow) == versions.head(fast)
    assert not line.keys("inbox/")
    assert line.quarantined("bad") == quarantined + 1


def test_a_sidecar_that_comes_after_its_photograph_is_added_to_what_is_known_of_it(line: Line) -> None:
    late, again = photograph(), photograph()
    line.send({"late.png": late, "again.png": again, "said.png": photograph(), "said.json": b'{"line": "L1"}'})
    first = line.ingest()
    line.send({"late.json": b'{"line": "L3", "time": "2026-11-26T09:00"}', "late.png.json": b"none"})
    line.send({"again.png": again, "again.json": b'{"camera": "C2"}'})
    line.send({"said.json": b'{"line": "L2"}'})  # of a photograph that is yet to come, perhaps
    root = line.clone()
    second = line.ingest(root)
    assert (second.accepted, second.rejected, second.dataset_version) == (0, 0, None)
    assert line.keys("inbox/washer/") == ["said.json"]
    assert any("late.png" in key and not key.endswith(".json.json") for key in line.keys("quarantine/"))
    records = {record["sha256"]: record for record in provenance.read(root, "washer")}
    record = records[hashlib.sha256(late).hexdigest()]
    assert (record["line"], record["time"], record["version"]) == ("L3", "2026-11-26T09:00", first.dataset_version)
    assert records[hashlib.sha256(again).hexdigest()]["camera"] == "C2"
    assert versions.head(root) == second.commit == line.origin_head()
