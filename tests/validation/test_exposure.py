"""The newest batch beside what came before: its provenance says which images it has."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from destseg.dataset import provenance
from destseg.validation import plain, validate
from destseg.validation.exposure import newest

from .conftest import photograph

Record = dict[str, Any]


def batch(dataset: Path, count: int, seed: int) -> list[Path]:
    """New photographs like those of the dataset."""
    return [photograph(dataset / f"train/good/new{seed + number}.png", seed + number) for number in range(count)]


def darken(path: Path) -> None:
    Image.fromarray((np.asarray(Image.open(path)).astype(int) - 4).clip(0, 255).astype(np.uint8)).save(path)


def blur(path: Path) -> None:
    Image.open(path).filter(ImageFilter.GaussianBlur(0.35)).save(path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded(dataset: Path, batches: Sequence[Sequence[Path]]) -> None:
    """The provenance of what `add` brought and of `batches`, one hour after the other."""
    known = {path for batch in batches for path in batch}
    first = [{"sha256": sha256(path), "version": "v0"} for path in dataset.rglob("*.png") if path not in known]
    later = [
        {"sha256": sha256(path), "version": f"v{hour}", "etag": "x", "modified": f"2026-01-01T{hour:02}:00:00+00:00"}
        for hour, batch in enumerate(batches, start=1)
        for path in batch
    ]
    provenance.write(Path(), "tile", [*first, *later])


def shifts() -> dict[str, str]:
    found = validate("tile")
    assert validate("tile", by=plain.run) == found
    return {finding.expectation: finding.text for finding in found.findings if "-shift" in finding.expectation}


def test_a_batch_under_another_light_is_one_finding(dataset: Path) -> None:
    recorded(dataset, [batch(dataset, 6, 500)])
    assert shifts() == {}
    second = batch(dataset, 6, 600)
    for path in second:
        darken(path)
    recorded(dataset, [batch(dataset, 6, 500), second])
    (said,) = shifts().values()
    assert said.startswith("the 6 normal images that came last are darker than those before, by ")


def test_a_batch_out_of_focus_is_one_finding(dataset: Path) -> None:
    fresh = batch(dataset, 6, 500)
    for path in fresh:
        blur(path)
    recorded(dataset, [fresh])
    found = shifts()
    assert set(found) == {"sharpness-shift"}
    assert "are less sharp than those before" in found["sharpness-shift"]


def test_an_older_batch_is_what_the_newest_is_held_against(dataset: Path) -> None:
    older, fresh = batch(dataset, 6, 500), batch(dataset, 6, 600)
    for path in older:
        darken(path)
    recorded(dataset, [older, fresh])
    assert shifts() == {}


def test_four_images_are_no_batch_with_a_median_of_its_own(dataset: Path) -> None:
    fresh = batch(dataset, 4, 500)
    for path in fresh:
        darken(path)
    recorded(dataset, [fresh])
    assert shifts() == {}


def test_the_newest_batch_is_the_one_that_reached_the_inbox_last() -> None:
    records: list[Record] = [
        {"sha256": "a", "version": "v0", "modified": "2026-03-01T00:00:00+00:00"},
        {"sha256": "b", "version": "v9", "etag": "x", "modified": "2026-01-01T00:00:00+00:00"},
        {"sha256": "c", "version": "v1", "etag": "x", "modified": "2026-02-01T00:00:00+00:00"},
        {"sha256": "d", "version": "v1", "etag": "x", "modified": "2025-02-01T00:00:00+00:00"},
        {"sha256": "e", "version": "v3", "etag": "x", "modified": "2026-05-01T00:00:00+00:00"},
    ]
    assert newest(records, frozenset("abcd")) == {"c", "d"}
    assert newest(records[:1], frozenset("a")) == frozenset()
