"""One setting changes, and no other byte of the file."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from destseg import Error
from destseg.edit import Edited, editing

TEXT = """\
# The head.
seed: 0  # the one seed

student:   # of stage 1
    steps:   400   # short
    crop: null

  # between
segmentation: {width: 48, lr: 1e-3}  # in one line
empty: {}  # nothing yet
bare:

# name: its overrides
categories:
  bolt:
    # why
    student: {steps: 5}
    image: {}
  # the other
  nut: {student: {}}
# The end.
"""


def edited(text: str = TEXT) -> Edited:
    return Edited(Path("params.yaml"), text)


@pytest.mark.parametrize(
    ("keys", "value", "before", "after"),
    [
        ("seed", 7, "seed: 0  # the one seed", "seed: 7  # the one seed"),
        ("student.steps", 1000, "    steps:   400   # short", "    steps:   1000   # short"),
        ("student.crop", 128, "crop: null", "crop: 128"),
        ("student.lr", 0.4, "    crop: null\n", "    crop: null\n    lr: 0.4\n"),
        ("segmentation.width", 256, "{width: 48,", "{width: 256,"),
        ("segmentation.net", False, "lr: 1e-3}", "lr: 1e-3, net: false}"),
        ("empty.a", None, "empty: {}  # nothing yet\n", "empty:  # nothing yet\n  a: null\n"),
        ("bare.a", "x", "bare:\n", "bare:\n  a: x\n"),
        ("categories.bolt.image.size", 64, "    image: {}\n", "    image:\n      size: 64\n"),
        ("categories.bolt.split.share", 0.5, "    image: {}\n", "    image: {}\n    split:\n      share: 0.5\n"),
        ("categories.nut.student.steps", 1, "nut: {student: {}}", "nut: {student: {steps: 1}}"),
        ("categories.nut.image", {}, "nut: {student: {}}", "nut: {student: {}, image: {}}"),
        ("categories.gear", {"image": {}}, "  nut: {student: {}}\n", "  nut: {student: {}}\n  gear:\n    image: {}\n"),
        ("student", {"steps": 1}, TEXT[TEXT.index("    steps") : TEXT.index("\n  # between")], "  steps: 1\n"),
        ("new.section", True, "  nut: {student: {}}\n", "  nut: {student: {}}\nnew:\n  section: true\n"),
    ],
)
def test_a_setting_is_written_where_it_belongs(keys: str, value: Any, before: str, after: str) -> None:
    text = edited()
    text.put(keys.split("."), value)
    assert text.text == TEXT.replace(before, after, 1)


@pytest.mark.parametrize(
    ("keys", "before", "after"),
    [
        ("student.crop", "    crop: null\n", ""),
        ("segmentation.width", "{width: 48, lr", "{lr"),
        ("segmentation.lr", "48, lr: 1e-3}", "48}"),
        ("categories.bolt.student.steps", "{steps: 5}", "{}"),
        ("categories.bolt.student", "    student: {steps: 5}\n", ""),
        ("categories.nut.student", "nut: {student: {}}", "nut: {}"),
        ("student.lr", "", ""),
        ("seed.lr", "", ""),
    ],
)
def test_a_setting_is_taken_away_and_comments_stay(keys: str, before: str, after: str) -> None:
    text = edited()
    text.take(keys.split("."))
    assert text.text == TEXT.replace(before, after, 1)


def test_the_last_setting_of_a_block_leaves_an_empty_mapping() -> None:
    text = edited("a:  # which\n  # why\n  b: 1  # b\n\n# the end\n")
    text.take(["a", "b"])
    assert text.text == "a: {}  # which\n  # why\n\n# the end\n"


@settings(deadline=None, max_examples=25)
@given(st.permutations([(section, key) for section in ("empty", "student", "segmentation", "bare") for key in "xyz"]))
def test_what_was_put_and_taken_leaves_no_trace(keys: list[tuple[str, str]]) -> None:
    text = edited(TEXT.replace("bare:\n", "bare: {}\n"))
    before = text.text
    for place in keys:
        text.put(place, 1)
    found = yaml.safe_load(text.text)
    assert [found[section][key] for section, key in keys] == [1] * len(keys)
    for place in reversed(keys):
        text.take(place)
    assert text.text == before


def test_what_stands_behind_an_alias_is_left_to_a_person() -> None:
    text = edited("base: &base {steps: 1}\nstudent: *base\n")
    with pytest.raises(Error, match=r"params.yaml: student.steps is behind an alias"):
        text.put(["student", "steps"], 2)


def test_an_anchor_that_others_refer_to_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: &seed 1\nother: *seed\n")
    with pytest.raises(Error, match="left as it was"), editing(path) as params:
        params.put(["seed"], 2)
    assert path.read_text() == "seed: &seed 1\nother: *seed\n"


def test_a_mapping_in_several_lines_of_braces_is_replaced() -> None:
    text = edited("a: {\n  b: 1,  # b\n  c: 2\n}  # a\nd: 3\n")
    text.put(["a", "c"], 4)
    assert yaml.safe_load(text.text) == {"a": {"b": 1, "c": 4}, "d": 3}
    text.put(["a"], {"e": 5})
    assert text.text == "a:  # a\n  e: 5\nd: 3\n"


def test_the_file_is_written_at_a_clean_end_alone_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    with pytest.raises(ZeroDivisionError), editing(path) as params:
        params.put(["seed"], 3 / len(params.content().get("missing", "")))
    assert path.read_text() == TEXT
    with editing(path) as params:
        params.put(["seed"], 3)
    assert path.read_text() == TEXT.replace("seed: 0", "seed: 3")
    path.write_text("a: [\n")
    with pytest.raises(Error, match="cannot be read as YAML"), editing(path):
        pass
