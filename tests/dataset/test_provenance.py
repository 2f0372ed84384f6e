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


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"5", b'{"sha256": [1]}', b"{}", b"\xff"]
    + [b'{"sha256": "a", "keys": %s}' % keys for keys in (b"null", b"5", b'"inbox/x"', b"[1]")]
    + [b'{"sha256": "a", "modified": null}'],
)
def test_a_broken_record_is_named(tmp_path: Path, line: bytes) -> None:
    provenance.write(tmp_path, "c", [])
    (tmp_path / "data/mvtec/c.provenance.jsonl").write_bytes(b'{"sha256": "aa", "keys": ["x"]}\n' + line + b"\n")
    with pytest.raises(Error, match=r"line 2 of .*c\.provenance\.jsonl is no record|jsonl is no UTF-8"):
        provenance.read(tmp_path, "c")
