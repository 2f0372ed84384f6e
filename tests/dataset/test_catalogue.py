"""What the stage `datasets` says of params.yaml before anything trains: all that is wrong, and what to write."""

from pathlib import Path

import pytest
import yaml

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.catalogue import SECTIONS, check

WHOLE = {section: {} for section in SECTIONS}


def enter(root: Path, **categories: dict[str, object]) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump({"categories": categories}))
    for name in categories:
        (root / "data/mvtec" / name).mkdir(parents=True, exist_ok=True)
        (root / provenance.path(name)).touch()


def test_the_names_are_written_for_the_stages(tmp_path: Path) -> None:
    enter(tmp_path, washer=WHOLE, fabric={**WHOLE, "promotion": {}})
    assert check(tmp_path) == ["fabric", "washer"]
    assert (tmp_path / "build/datasets.json").read_text() == '["fabric", "washer"]\n'


def test_categories_of_before_a_section_was_new_are_told_what_to_write_in_one_sentence(tmp_path: Path) -> None:
    older = {section: {} for section in SECTIONS if section != "teacher"}
    enter(tmp_path, washer=older, fabric=older, plate=WHOLE)
    with pytest.raises(Error) as caught:
        check(tmp_path)
    assert str(caught.value) == (
        "params.yaml lacks `teacher: {}` below categories.fabric, categories.washer; "
        "write that there (empty, it overrides nothing)"
    )


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    enter(tmp_path, washer={**WHOLE, "texture": {}}, fabric={})
    (tmp_path / "data/mvtec/fabric").rmdir()
    with pytest.raises(Error) as caught:
        check(tmp_path)
    for part in (
        f"category fabric: neither {tmp_path}/data/mvtec/fabric nor {tmp_path}/data/mvtec/fabric.dvc exists",
        "category washer: 'texture' cannot be overridden for one category, expected one of image, split, teacher,",
        "params.yaml lacks `image: {}`, `split: {}`, `teacher: {}`,",
    ):
        assert part in str(caught.value)
