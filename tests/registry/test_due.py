"""What a retraining has left to do, after each step and after a kill between two of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destseg.registry import log, promotion
from destseg.registry.connection import candidates, connect
from destseg.registry.due import due
from destseg.registry.evidence import Lineage
from destseg.registry.policy import promote_by_policy
from destseg.registry.promotion import promote
from destseg.registry.register import LOG_TAG, log_registration, settle, submit
from destseg.registry.turn_down import turn_down
from destseg.storage import stages, versions

VERSION = "aa" * 16 + ".dir"  # of conftest's lineage
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def root(results: Callable[..., Path], category: str) -> Path:
    """A repository with a dataset version and one stage, trained but not registered."""
    root = results(category)
    (root / "dvc.yaml").write_text("stages: {package: {matrix: {category: [a]}, cmd: train, deps: [dvc.yaml]}}\n")
    pointer = root / versions.pointer(category)
    pointer.parent.mkdir(parents=True)
    pointer.write_text(f"outs:\n- md5: {VERSION}\n  path: {category}\n")
    versions.git(root, "init", "--quiet")
    versions.commit(root, [Path("dvc.yaml"), Path("params.yaml"), versions.pointer(category)], "A project")
    return root


@pytest.fixture
def submitted(root: Path, category: str, lineage: Callable[..., Lineage]) -> str:
    """The address of the candidate that the repository's training became."""
    key = stages.training_key(root, category)
    return submit(category, lineage(root, key, category=category), root=root).model_uri


def test_a_training_is_due_until_it_is_registered(root: Path, category: str) -> None:
    found = due(category, root=root)
    assert (found.left, found.model_uri, found.dataset_version) == ("train", None, VERSION)
    assert str(found) == f"dataset version {VERSION}: train is left to do, as this was not trained and registered yet"


def test_a_registration_that_was_killed_is_due(root: Path, category: str, submitted: str) -> None:
    client, name = connect(), candidates(category)
    client.delete_model_version_tag(name, "1", LOG_TAG)
    assert due(category, root=root).left == "register"
    log_registration(client, category, client.get_model_version(name, "1"))
    client.delete_registered_model_alias(name, "challenger")
    assert due(category, root=root).left == "register"
    settle(client, category)
    found = due(category, root=root)
    assert (found.left, found.model_uri) == ("compare", submitted)


def test_nothing_is_due_once_the_gates_have_been_asked(
    root: Path, category: str, submitted: str, compared: Callable[..., Any]
) -> None:
    compared(category, dataset_version="bb" * 16 + ".dir")
    assert due(category, root=root).left == "compare"  # it was, but on another dataset version
    compared(category, dataset_version=VERSION)
    assert due(category, root=root).left == "decide"
    assert not promote_by_policy(category, root=root).promoted
    found = due(category, root=root)
    assert found.left is None
    assert str(found) == f"dataset version {VERSION}: nothing is left to do, {submitted} was compared and judged"


def test_a_promotion_by_policy_that_was_killed_is_due(
    root: Path, category: str, submitted: str, compared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("{min_image_auroc: 0.9}", "{policy: auto}"))
    compared(category, dataset_version=VERSION)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "release", killed)
        with pytest.raises(KeyboardInterrupt):
            promote_by_policy(category, root=root)
    assert [entry.event for entry in log.read(connect(), category)][-1] == "promoting"
    assert due(category, root=root).left == "decide"
    assert promote_by_policy(category, root=root).promoted
    assert due(category, root=root).reason == f"{submitted} was released before, as version 1"


def test_another_champion_makes_a_comparison_due(
    root: Path, category: str, submitted: str, compared: Callable[..., Any], lineage: Callable[..., Lineage]
) -> None:
    submit(category, lineage(root, "another", category=category), root=root)
    compared(category, dataset_version=VERSION)
    promote_by_policy(category, root=root)
    assert due(category, root=root).left is None
    promote(category, why="it is older and better", version=1, override=True, root=root)
    found = due(category, root=root)
    assert (found.left, found.model_uri) == ("compare", submitted)


def test_nothing_is_due_for_what_was_decided(
    root: Path, category: str, submitted: str, compared: Callable[..., Any]
) -> None:
    turn_down(category, why="misses scratches")
    assert due(category, root=root).reason == f"{submitted} was turned down"
    connect().delete_model_version_tag(candidates(category), "1", "turned_down")  # as a trainer can
    assert due(category, root=root).reason == f"{submitted} was turned down"
    compared(category, dataset_version=VERSION)
    promote(category, why="there is no other", override=True, root=root)
    found = due(category, root=root)
    assert (found.left, found.reason) == (None, f"{submitted} was released before, as version 1")
