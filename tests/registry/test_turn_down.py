"""A candidate that a person does not want: marked with who and why, offered no more."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from destseg import Error
from destseg.registry import log
from destseg.registry.connection import candidates, connect
from destseg.registry.history import history
from destseg.registry.promotion import promote
from destseg.registry.turn_down import turn_down

pytestmark = pytest.mark.usefixtures("store")
Train = Callable[..., Path]


def test_a_challenger_turned_down_says_who_and_why(train: Train, category: str) -> None:
    train("a")
    done = turn_down(category, why=" misses scratches ", who="Ada")
    assert (done.version, done.who, done.why, done.created) == (1, "Ada", "misses scratches", True)
    tags = connect().get_model_version(candidates(category), "1").tags
    assert json.loads(tags["turned_down"]) == {"who": "Ada", "why": "misses scratches", "when": done.when}
    entry = log.read(connect(), category)[-1]
    assert (entry.event, entry.subject, entry.why) == ("turned-down", done.model_uri, "misses scratches")

    again = turn_down(category, why="for another reason", who="Grace")
    assert (again.who, again.why, again.created) == ("Ada", "misses scratches", False)
    assert len(log.read(connect(), category)) == 3  # with its registration and comparison


def test_it_is_promoted_by_an_override_only(train: Train, category: str) -> None:
    root = train("a")
    turn_down(category, why="misses scratches", who="Ada")
    with pytest.raises(Error, match=r"was turned down before by Ada, .*: misses scratches; .*--override"):
        promote(category, why="we need one", root=root)
    assert history(category) == []
    promote(category, why="a trial on line 3", override=True, root=root)
    assert history(category)[0].overridden
    (entry,) = (one for one in log.read(connect(), category) if one.event == "promoting")
    assert entry.content["overridden"] is True  # though every gate passed


@pytest.mark.parametrize("left", ["log", "tag"])
def test_either_of_log_and_tag_is_enough(train: Train, category: str, left: str) -> None:
    """As a kill between the two leaves it, or a hand."""
    root = train("a")
    client = connect()
    if left == "log":
        address = f"models:/{candidates(category)}/1"
        log.append(client, category, event="turned-down", subject=address, content={}, why="scratches", who="Ada")
    else:
        client.set_model_version_tag(candidates(category), "1", "turned_down", "by hand")
    with pytest.raises(Error, match="was turned down before by"):
        promote(category, why="we need one", root=root)
    turn_down(category, why="again")
    assert "turned_down" in client.get_model_version(candidates(category), "1").tags


def test_a_champion_is_rolled_back_instead(train: Train, category: str) -> None:
    promote(category, why="first", root=train("a"))
    with pytest.raises(Error, match=r"is the champion, as version 1; `destseg rollback"):
        turn_down(category, why="misses scratches")


def test_a_reason_is_mandatory(train: Train, category: str) -> None:
    train("a")
    with pytest.raises(Error, match="needs a reason"):
        turn_down(category, why=" ")


@pytest.mark.parametrize("verb", [["promote"], ["turn-down"], ["rollback"], ["recalibrate", "--rate", "0.1"]])
@pytest.mark.parametrize("option", ["--why", "--who"])
def test_bytes_that_are_no_utf8_end_a_command_before_it_writes_anything(
    verb: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    command = [sys.executable, "-m", "destseg", *verb, "washer", "--why=x", f"{option}=gr".encode() + b"\xfcn"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"destseg: {option} is no UTF-8 text at its character 3: gr\\udcfcn; type it")
    assert list(tmp_path.iterdir()) == []
