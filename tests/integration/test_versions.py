"""The versions of a dataset: shown, compared, and without a bad lot, on a real S3 server, git and DVC."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from destseg import Error
from destseg.dataset import provenance
from destseg.ingest.batch import BatchResult
from destseg.ingest.contact_sheet import CAPTION, CELL, COLUMNS, GAP, TITLE, contact_sheet
from destseg.ingest.history import diff, history
from destseg.ingest.recall import Recalled, recall
from destseg.storage import versions

from .line import Line, first_version, mask, photograph

NEW = [photograph() for _ in range(10)]
CRACKED = photograph()


@pytest.fixture(scope="module")
def line(shared_origin: Any, tmp_path_factory: pytest.TempPathFactory) -> Line:
    return first_version(shared_origin, tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def batch(line: Line) -> BatchResult:
    """The second version: ten normal images and a crack."""
    line.send({f"{index}.png": content for index, content in enumerate(NEW)})
    line.send({"defects/crack/1.png": CRACKED, "defects/crack/1_mask.png": mask()})
    return line.ingest()


@pytest.fixture(scope="module")
def lot(line: Line, batch: BatchResult) -> Recalled:  # noqa: ARG001  # comes before
    """The third: without two of the normal images and the crack."""
    images = [f"test/crack/{sha256(CRACKED)[:16]}.png", sha256(NEW[0]), sha256(NEW[1])[:12]]
    return recall("washer", images, "oil on the lens\n of camera 2", line.clone())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_lot_is_taken_out_by_a_version_of_its_own(line: Line, batch: BatchResult, lot: Recalled) -> None:
    name = sha256(CRACKED)[:16]
    gone = {f"test/crack/{name}.png", f"ground_truth/crack/{name}_mask.png"}
    gone |= {f"train/good/{sha256(content)[:16]}.png" for content in NEW[:2]}
    assert set(lot.removed) == gone
    assert lot.dataset_version == line.version() != batch.dataset_version
    root = line.clone()
    assert not gone & versions.listing(root, "washer").keys()
    assert not gone & {record["name"] for record in provenance.read(root, "washer")}
    versions.dvc(root, "pull", "data/mvtec/washer.dvc")
    assert len([path for path in (root / "data/mvtec/washer").rglob("*") if path.is_file()]) == 5 + 8


def test_what_is_no_image_or_all_of_them_is_not_taken_out(line: Line, lot: Recalled) -> None:
    root = line.clone()
    with pytest.raises(Error, match=r"no one image of 'washer' is train/good/nothing\.png, 00000000; expected names"):
        recall("washer", ["train/good/nothing.png", "00000000"], "why", root)
    normals = [name for name in versions.listing(root, "washer") if name.startswith("train/")]
    with pytest.raises(Error, match="would have no normal image left"):
        recall("washer", normals, "why", root)
    with pytest.raises(Error, match="needs a reason"):
        recall("washer", normals[:1], " ", root)
    assert line.version() == lot.dataset_version
    assert versions.is_clean(root)


def test_history_says_when_who_and_why(line: Line, batch: BatchResult, lot: Recalled) -> None:
    found = history("washer", line.clone())
    assert [one.version for one in found[:2]] == [lot.dataset_version, batch.dataset_version]
    assert [one.files for one in found] == [13, 17, 5]
    assert [one.why for one in found] == [
        "washer: 4 files taken out: oil on the lens of camera 2",
        "washer: 11 new photographs, 1 of them with defects",
        "Add washer",
    ]
    with pytest.raises(Error, match="git knows no version of 'bolt' here"):
        history("bolt", line.clone())


def test_versions_are_compared_by_image(line: Line, batch: BatchResult, lot: Recalled) -> None:
    root = line.clone()
    last = diff("washer", root=root)
    assert (last.old.version, last.new.version) == (batch.dataset_version, lot.dataset_version)
    assert (last.came, last.went) == ((), lot.removed)
    whole = diff("washer", "main~2", lot.dataset_version[:8], root)
    assert (len(whole.came), whole.went, whole.moved) == (8, (), {})
    assert "8 came, 0 went, 0 moved\n  + train/good/" in str(whole)
    with pytest.raises(Error, match="is the first version"):
        diff("washer", new="main~2", root=root)
    with pytest.raises(Error, match="'nowhere' is neither a version"):
        diff("washer", "nowhere", root=root)


def test_a_sheet_shows_what_came_and_went(line: Line, batch: BatchResult, lot: Recalled, tmp_path: Path) -> None:  # noqa: ARG001
    root = line.clone()
    change = diff("washer", "main~2", "main~1", root)
    with Image.open(contact_sheet(change, tmp_path / "sheet.png", root)) as sheet:
        rows = 2 * (CELL + CAPTION + GAP)  # eleven photographs
        assert sheet.size == (COLUMNS * (CELL + GAP) + GAP, 3 * TITLE + rows + GAP)
        noise = sheet.crop((GAP, 2 * TITLE, GAP + 64, 2 * TITLE + CELL))
        assert len(noise.getcolors(2**16) or []) > 1000  # not paper
    assert not (root / "data/mvtec/washer").exists()
