"""The record of where photographs came from."""

from pathlib import Path

import pytest

from destseg import Error
from destseg.dataset import provenance


def test_records_are_sorted_by_hash_whatever_their_order(tmp_path: Path) -> None:
    one, two = {"sha256": "aa", "keys": ["inbox/c/ä.png"]}, {"sha256": "bb", "keys": ["inbox/c/\ud800.png"]}
    provenance.write(tmp_path, "c", [two, one])
    first = (tmp_path / "data/mvtec/c.provenance.jsonl").read_bytes()
    provenance.write(tmp_path, "c", [one, two])
    assert (tmp_path / "data/mvtec/c.provenance.jsonl").read_bytes() == first
    assert provenance.read(tmp_path, "c") == [one, two]


def test_a_category_without_a_batch_has_no_records(tmp_path: Path) -> None:
    assert provenance.read(tmp_path, "c") == []


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    provenance.write(tmp_path, "c", [])
    (tmp_path / "data/mvtec/c.provenance.jsonl").write_text("{\n")
    with pytest.raises(Error, match=r"c\.provenance\.jsonl has a line that is no JSON"):
        provenance.read(tmp_path, "c")
