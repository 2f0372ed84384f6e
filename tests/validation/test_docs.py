"""The page of a check: whole in one file, with the findings, their pictures and the expectations."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg.validation import Rejected, validate

PAGE = Path("build/tile/validation/index.html")


class Addresses(HTMLParser):
    """Collects everything that a browser would load or link to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 the parser's
        self.found += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "action")]


def page_of(text: str) -> tuple[str, list[str]]:
    parser = Addresses()
    parser.feed(text)
    return text, parser.found


def test_the_page_of_a_good_dataset_says_accepted_and_shows_what_was_expected(repository: Path) -> None:
    assert repository
    verdict = validate("tile")
    text, addresses = page_of(PAGE.read_text())
    assert "Accepted" in text
    assert all(outcome.sentence in text for outcome in verdict.expectations if "'" not in outcome.sentence)
    assert text.count("<b>holds</b>") == len(verdict.expectations)
    assert all(address.startswith("data:") for address in addresses)


def test_a_finding_stands_beside_the_picture_of_its_file(dataset: Path) -> None:
    Image.new("L", (64, 64), 90).save(dataset / "train/good/000.png")
    (dataset / "train/good/001.png").write_bytes(b"")
    with pytest.raises(Rejected):
        validate("tile")
    text, addresses = page_of(PAGE.read_text())
    assert "Refused: 2 errors" in text
    assert re.search(
        r'<img src="data:image/jpeg;base64,[^"]+"[^>]*>\s*</td>\s*<td class="file"[^>]*>train/good/000', text
    )
    assert text.count("no picture") == 1
    assert all(address.startswith("data:") for address in addresses)


def test_a_copy_stands_beside_the_picture_that_it_is_a_copy_of(dataset: Path) -> None:
    Image.open(dataset / "train/good/000.png").save(dataset / "train/good/again.jpg", quality=90)
    validate("tile")
    text, _ = page_of(PAGE.read_text())
    assert re.search(r'alt="train/good/000.png"><span>looks like train/good/000.png', text)


def test_photographs_of_more_than_eight_bits_are_shown(dataset: Path) -> None:
    Path("params.yaml").write_text("image: {size: 64, bit_depth: 12}\ncategories: {tile: {}}\n")
    deep = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    for name in ("deep", "twin"):
        Image.fromarray(deep).save(dataset / f"train/good/{name}.png")
    with pytest.raises(Rejected, match="has the same bytes"):
        validate("tile")
    assert "no picture" not in PAGE.read_text()


def test_a_hostile_file_name_is_text_and_nothing_else(dataset: Path) -> None:
    (dataset / "train/good/<script>alert(1)<").mkdir()
    (dataset / "train/good/<script>alert(1)<" / "script>.png").write_bytes(b"x")
    with pytest.raises(Rejected):
        validate("tile")
    text = PAGE.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
