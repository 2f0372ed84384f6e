"""What the policy does with a challenger: nothing, a promotion, or a wait for a person."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from destseg.registry import log
from destseg.registry.connection import candidates, connect
from destseg.registry.evidence import Lineage
from destseg.registry.history import history
from destseg.registry.policy import WHY, promote_by_policy
from destseg.registry.promotion import promote, rollback
from destseg.registry.register import submit
from destseg.registry.turn_down import turn_down

Train = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def train(
    results: Callable[..., Path], lineage: Callable[..., Lineage], compared: Callable[..., Any], category: str
) -> Train:
    """A function that registers and compares a training, sets the category's policy, and returns its repository."""

    def run(key: str, policy: str = "auto", *, image_auroc: float = 0.97) -> Path:
        root = results(category, weights=key.encode(), image_auroc=image_auroc)
        submit(category, lineage(root, key, category=category), root=root)
        compared(category)
        params = root / "params.yaml"
        own = f"{category}: {{promotion: {{policy: {policy}}}, "
        params.write_text(params.read_text().replace(f"{category}: {{", own))
        return root

    return run


def test_under_review_nothing_is_promoted(train: Train, category: str) -> None:
    found = promote_by_policy(category, train("a", "review"))
    assert (found.policy, found.promoted) == ("review", False)
    assert found.model_uri == f"models:/destseg-{category}-candidates/1"
    assert [gate.name for gate in found.gates if gate.passed] == ["compared", "image_auroc", "parity", "lineage"]
    assert "promotion.policy is review, so a person decides" in str(found)
    assert history(category) == []
    entry = log.read(connect(), category)[-1]
    assert (entry.event, entry.subject) == ("gates", found.model_uri)
    assert entry.content["gates"] == json.loads(json.dumps([asdict(gate) for gate in found.gates]))


def test_auto_leaves_what_a_person_turned_down(train: Train, category: str) -> None:
    root = train("a")
    turn_down(category, why="misses scratches", who="Ada")
    found = promote_by_policy(category, root)
    assert (found.promoted, found.gates, found.reason) == (False, (), "Ada turned it down: misses scratches")
    assert history(category) == []


def test_auto_promotes_what_passes_every_gate_and_says_who_and_why(
    train: Train, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "trainer-7")
    found = promote_by_policy(category, train("a"))
    assert (found.policy, found.promoted, found.model_uri) == ("auto", True, f"models:/destseg-{category}/1")
    (entry,) = history(category)
    assert (entry.who, entry.why, entry.overridden) == ("trainer-7", WHY, False)


def test_auto_leaves_what_fails_a_gate_to_a_person(train: Train, category: str) -> None:
    root = train("a", image_auroc=0.7)
    found = promote_by_policy(category, root)
    assert not found.promoted
    assert [(gate.name, gate.passed) for gate in found.gates] == [
        ("compared", True),
        ("image_auroc", False),
        ("parity", True),
        ("lineage", True),
    ]
    assert "1 of 4 gates failed (image_auroc); a person decides" in str(found)
    assert "FAILED  image_auroc: Image AUROC is 0.7000, below 0.9 of params.yaml" in str(found)
    assert history(category) == []


def test_auto_undoes_no_rollback_and_promotes_nothing_twice(train: Train, category: str) -> None:
    for key in "ab":
        assert promote_by_policy(category, train(key)).promoted
    rollback(category, why="b misses scratches")
    root = train("b")  # the same training, registered before: candidate 2 stays the challenger
    assert str(connect().get_registered_model(candidates(category)).aliases["challenger"]) == "2"
    found = promote_by_policy(category, root)
    assert (found.promoted, found.reason) == (False, "candidate 2 was released before, as version 2")
    assert [entry.version for entry in history(category)] == [1, 2, 3]


def test_auto_takes_no_notice_of_what_a_person_promoted_before(train: Train, category: str) -> None:
    promote(category, why="first", who="Ada", root=train("a", "review"))
    assert promote_by_policy(category, train("b")).promoted
    assert [entry.who == "Ada" for entry in history(category)] == [True, False]


def test_the_command_prints_the_result_and_fails_for_no_failed_gate(train: Train, category: str) -> None:
    root = train("a", image_auroc=0.7)
    command = [sys.executable, "-m", "destseg", "promote", category, "--policy"]
    done = subprocess.run([*command, "--json"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["policy"], answer["promoted"], answer["gates"][1]["passed"]) == ("auto", False, False)
    refused = subprocess.run([*command, "--override"], cwd=root, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "--policy decides by params.yaml alone" in refused.stderr
    without = subprocess.run(command[:-1], cwd=root, capture_output=True, text=True)
    assert without.returncode == 2
    assert "needs a reason; give it with --why" in without.stderr
