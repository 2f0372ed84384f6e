"""What a stage writes beside its weights names all that they were trained with."""

import contextlib
import json
from pathlib import Path

from destseg.training.prepare import record
from destseg.training.student import StudentSettings

PARAMS = """
seed: 3
image: {size: 64}
texture: {count: 7}
synthesis: {max_degrees: 5.0}
categories:
  plate: {synthesis: {max_degrees: 9.0}}
"""


def test_the_record_has_the_seed_every_section_that_was_used_and_the_defaults_in_them(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    with contextlib.chdir(tmp_path):
        found = json.loads(record("plate", student=StudentSettings(steps=5))["settings"])
    assert found.keys() == {"seed", "image", "texture", "synthesis", "student"}
    assert (found["seed"], found["image"]["size"], found["texture"]["count"]) == (3, 64, 7)
    assert found["synthesis"]["max_degrees"] == 9.0  # the category's own
    assert (found["student"]["steps"], found["student"]["momentum"]) == (5, 0.9)
