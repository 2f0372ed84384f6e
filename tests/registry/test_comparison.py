"""The tag that names a comparison: whoever may train can set it, so what destseg did not write is refused."""

import hashlib
import json
from typing import Any

import pytest

from destseg import Error
from destseg.registry.comparison import TAG, Reference, reference
from destseg.registry.rest import Version

SHA = hashlib.sha256(b"").hexdigest()
WRITTEN = {
    "run_id": "a" * 32,
    "champion": "3",
    "dataset_version": "92.dir",
    "files": {"comparison.json": SHA, "gallery.zip": SHA},
}


def version(tag: str | None) -> Version:
    tags = {} if tag is None else {TAG: tag}
    return Version(name="destseg-washer-candidates", version=2, creation_timestamp=0, run_id=None, tags=tags)


def test_a_version_names_its_comparison() -> None:
    assert reference(version(None)) is None
    found = reference(version(json.dumps(WRITTEN)))
    assert found == Reference(**WRITTEN)
    assert reference(version(found.to_tag())) == found


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../../x"},
        {"run_id": 1},
        {"champion": "1' or '1'='1"},
        {"dataset_version": None},
        {"files": {"comparison.json": SHA}},
        {"files": {"comparison.json": "../../etc/passwd", "gallery.zip": SHA}},
        {"files": {"comparison.json": SHA, "gallery.zip": 1}},
        {"files": None},
        {"more": "x"},
    ],
)
def test_a_tag_that_destseg_did_not_write_is_refused(change: dict[str, Any]) -> None:
    said = (
        r"models:/destseg-washer-candidates/2: its tag comparison cannot be read \(.*\); run `destseg compare --again`"
    )
    for text in (json.dumps(WRITTEN | change), "no JSON", "[" * 4000):
        with pytest.raises(Error, match=said):
            reference(version(text))
