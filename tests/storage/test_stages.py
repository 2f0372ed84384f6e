"""Was this trained before, and by which stages: on a real git repository."""

from pathlib import Path

import pytest

from destseg import Error
from destseg.storage import stages

from .projects import changed


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/mvtec/fabric.dvc", "1" * 32, "2" * 32),
        ("params.yaml", "fabric: {student: {}", "fabric: {student: {steps: 7}"),
        ("params.yaml", "{student: {}, teacher: {}}", "{student: {}, teacher: {source: formula}}"),
        ("params.yaml", "image_auroc: 0.9", "image_auroc: 0.95"),
        ("params.yaml", "min_batch: 1", "min_batch: 5"),
        ("params.yaml", "max_wait_days: 7", "max_wait_days: 3"),
        ("params.yaml", "steps: 100", "steps: 150"),  # which washer overrides
        ("destseg/unused.py", "unused", "changed"),
        ("dvc.lock", "md5: cc", "md5: dd"),
    ],
)
def test_what_changes_nothing_for_a_category_keeps_its_training_key(
    project: Path, name: str, old: str, new: str
) -> None:
    before = stages.training_key(project, "washer")
    changed(project, name, old, new)
    assert stages.training_key(project, "washer") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("data/mvtec/washer.dvc", "0" * 32, "2" * 32),
        ("params.yaml", "washer: {student: {steps: 200}", "washer: {student: {steps: 201}"),
        ("params.yaml", "image: {}, teacher: {}", "image: {}, teacher: {source: formula}"),
        ("params.yaml", "batch: 32", "batch: 16"),
        ("params.yaml", "seed: 0", "seed: 1"),
        ("destseg/training/student.py", "student", "changed"),
        ("destseg/teacher.py", "teacher", "changed"),
        ("dvc.yaml", "destseg student", "destseg student --fast"),
    ],
)
def test_what_a_training_depends_on_changes_its_key(project: Path, name: str, old: str, new: str) -> None:
    before = stages.training_key(project, "washer")
    changed(project, name, old, new)
    assert stages.training_key(project, "washer") != before


def test_a_section_that_dvc_would_miss_is_named_with_what_to_write(project: Path) -> None:
    changed(project, "params.yaml", "image: {}, teacher: {}", "image: {}")
    with pytest.raises(Error, match=r"^params\.yaml lacks `teacher: \{\}` below categories\.washer; write that there"):
        stages.training_key(project, "washer")
    assert stages.training_key(project, "fabric")


def test_the_lock_entries_are_the_categorys_own(project: Path) -> None:
    assert list(stages.lock_entries(project, "washer")) == ["student@washer", "teacher@washer"]


def test_the_stages_are_named_in_their_order(project: Path) -> None:
    assert stages.names(project, "washer") == ["teacher@washer", "student@washer"]


def test_a_project_that_never_trained_says_so(project: Path) -> None:
    (project / "dvc.lock").unlink()
    with pytest.raises(Error, match=r"no dvc\.lock"):
        stages.lock_entries(project, "washer")
