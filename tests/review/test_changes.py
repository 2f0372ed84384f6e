"""What the page says of the data that changed: a sheet of what came, names of what went."""

import re
from pathlib import Path
from typing import Any

from destseg.review.comparison import read
from destseg.review.render import TEMPLATES

from .comparisons import ADDED, content, write

HERE = "/categories/washer/candidates/2"


def shown(folder: Path, **data: Any) -> str:
    """The part of the page, where this is different in the data."""
    known = content("washer", champion=1)
    known["changes"]["data"] |= data
    comparison = read(write(folder, known) / "comparison.json")
    return TEMPLATES.get_template("_changes.html").render(comparison=comparison, here=HERE)


def test_what_came_is_a_sheet_that_says_how_much_of_it_is_shown(tmp_path: Path) -> None:
    text = shown(tmp_path)
    assert f"{ADDED} of 310 added images, spread over their names:" in text
    expected = [f"{HERE}/added/{index}/photo.webp" for index in range(ADDED)]
    assert re.findall(r'<img src="([^"]+)" alt="" loading="lazy"', text) == expected
    enlarged = re.findall(r'data-base="([^"]+)" data-pictures="([^"]+)" data-name="([^"]+)"', text)
    assert [f"{base}{what}.webp" for base, what, _ in enlarged] == expected
    assert enlarged[1][2] == "train/good/new-026.png"
    assert f"{ADDED} of {ADDED} added images:" in shown(tmp_path / "all", added=ADDED)


def test_network_teacher_and_licence_of_both_are_named(tmp_path: Path) -> None:
    """The champion's is a comparison of before there were two networks, and its teacher said its source alone."""
    known = content("washer", champion=1)
    assert "network" not in known["champion"]
    lite0 = {"source": "efficientnet-lite0", "sha256": "6" * 64, "backbone": "efficientnet-lite0"}
    known["challenger"] |= {"network": "compact", "teacher": lite0 | {"licence": "Apache-2.0; trained on <ImageNet>"}}
    comparison = read(write(tmp_path, known) / "comparison.json")
    text = TEMPLATES.get_template("_changes.html").render(comparison=comparison, here=HERE)
    assert "Champion: network paper, teacher formula (backbone resnet18, licence: not recorded)." in text
    words = "efficientnet-lite0 (backbone efficientnet-lite0, licence: Apache-2.0; trained on &lt;ImageNet&gt;)"
    assert f"Challenger: network compact, teacher {words}." in text
    same = "The same: network paper, teacher formula (backbone resnet18, licence: not recorded)."
    assert same in shown(tmp_path / "same")


def test_what_went_is_named(tmp_path: Path) -> None:
    text = shown(tmp_path)
    assert "310 images added, 2 removed since dataset version 4d4d4d4d." in text
    assert "2 of the removed images by name" in text
    assert "<li>train/good/y.png</li>" in text


def test_a_comparison_of_before_there_was_a_sheet_names_what_came(tmp_path: Path) -> None:
    text = shown(tmp_path, sheet=[], removed_names=[])
    assert "60 of the added images by name" in text
    assert "<img" not in text
    assert "of the removed images by name" not in text


def test_a_name_is_shown_as_text(tmp_path: Path) -> None:
    name = 'x" onerror="alert(1)"><script>'
    text = shown(tmp_path, sheet=[{"name": name, "sha256": "0" * 64}], removed_names=[name])
    assert name not in text
    assert text.count("x&#34; onerror=&#34;alert(1)&#34;&gt;&lt;script&gt;") == 4
