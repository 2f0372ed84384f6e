"""Promotion against a real MLflow server: killed -9 at seeded random places of its code, and many at once.

`DESTSEG_SOAK=1` (make soak) kills 30 times instead of 5, and records each in
benchmarks/results/soak_promotion.json; 50 promote at once there, 10 here.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from destseg.registry.connection import connect, released
from destseg.registry.history import history, released_versions
from destseg.registry.promotion import promote, rollback
from destseg.registry.verify import verify
from destseg.storage.process import environment

from .server import mlflow_server

SOAK = bool(os.environ.get("DESTSEG_SOAK"))
KILLS = 30 if SOAK else 5
GROUPS, EACH = (5, 10) if SOAK else (2, 5)  # processes, and the children of each that promote at once
DECIDING = ("promotion.py", "history.py", "log.py")
RECORD = Path(__file__).parents[2] / "benchmarks/results/soak_promotion.json"
# For each line on stdin a child: it promotes or rolls back, and ends itself at the line of code that is asked for.
# Undisturbed it prints the places it came through, lines of the registry's code, and how often.
KILLED = """
import json, os, pathlib, signal, sys
from destseg.registry import promotion
from destseg.registry.connection import connect
connect()
import mlflow.pyfunc

def act(category, version, root, place, time):
    places = {}

    def line(frame, event, argument):
        if event == "line":
            here = f"{pathlib.Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            places[here] = places.get(here, 0) + 1
            if here == place and places[here] == time:
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame, event, argument):
        return line if f"{os.sep}destseg{os.sep}registry{os.sep}" in frame.f_code.co_filename else None

    sys.settrace(call)
    if version:  # whatever the gates say: it was compared with a champion of long ago
        root = pathlib.Path(root)
        promotion.promote(category, version=version, why="it is better", who="Ada", override=True, root=root)
    else:
        promotion.rollback(category, why="it is worse", who="Grace")
    sys.settrace(None)
    return places

for request in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(act(**json.loads(request))).encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        places = pipe.read()
    _, status = os.waitpid(child, 0)
    print(json.dumps([status, json.loads(places or "{}")]), flush=True)
"""
# Processes that decide the same at the same time, once a line comes in; what became of each is a line.
AT_ONCE = """
import os, pathlib, sys
from destseg import Error
from destseg.registry.connection import connect
from destseg.registry.promotion import promote
connect()
import mlflow.pyfunc
print("ready", flush=True)
sys.stdin.readline()
category, root, group, count = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def decide(number):
    try:
        done = promote(category, version=1, why="the first", who=f"{group}.{number}", replaces="none", root=root)
        return f"promoted: {done.version}"
    except Error as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"failed: {error!r}".replace(chr(10), " ")

children = []
for number in range(count):
    child = os.fork()
    if child == 0:
        os.write(1, (decide(number) + chr(10)).encode())
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Of the usual 15 connections a server this busy refuses requests after 30 s.
    own = {"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "60"}
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), accounts=False, **own) as url:
        yield url


@pytest.fixture(autouse=True)
def _registry(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def category(request: pytest.FixtureRequest) -> str:
    return "killed" if "killed" in request.node.name else "at_once"


class Program:
    """KILLED, which has loaded its libraries once."""

    def __init__(self, category: str, root: Path) -> None:
        self._about = {"category": category, "root": str(root)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", KILLED], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, version: int | None, place: str = "", time: int = 1) -> tuple[int, dict[str, int]]:
        """(wait status, places) of one promotion, or of a rollback without a version; killed at `place`, that time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**self._about, "version": version, "place": place, "time": time}) + "\n")
        self._process.stdin.flush()
        status, places = json.loads(self._process.stdout.readline())
        return status, places

    def end(self) -> None:
        self._process.communicate()


def champion(category: str) -> int:
    """The candidate that is served, as whoever reads next finds it: one champion, and a history that verifies."""
    line = history(category)
    aliases = connect().get_registered_model(released(category)).aliases
    assert int(aliases["champion"]) == line[-1].version
    assert verify(category).errors == []
    candidate = line[-1].candidate
    assert candidate is not None
    return candidate


def test_killed_anywhere_there_is_one_champion_and_a_history_that_verifies(
    train: Callable[..., Path], category: str
) -> None:
    for key in "ab":
        root = train(key)
    promote(category, version=1, why="the first", root=root)
    program = Program(category, root)
    status, promoting = program(2)
    assert status == 0
    status, rolling_back = program(None)
    assert status == 0
    assert champion(category) == 1

    chance, record = random.Random(7), []
    for number in range(1, KILLS + 1):
        before = champion(category)
        after = 3 - before
        way = "roll back" if number % 3 == 0 else "promote"
        if way == "roll back":  # to the other one: it is the champion before
            after = _former(category)
        places = rolling_back if way == "roll back" else promoting
        if number % 2:  # every other time where it is decided, and not while files are read and written
            places = {place: times for place, times in places.items() if place.startswith(DECIDING)}
        place = chance.choice(list(places))
        time = chance.randint(1, places[place])
        status, _ = program(None if way == "roll back" else after, place, time)
        assert status in (signal.SIGKILL, 0)  # 0: this time it did not come through there
        versions = len(released_versions(connect(), category))
        found = champion(category)
        assert found in (before, after)
        record.append(
            {"kill": number, "act": way, "place": place, "time": time, "killed": bool(status), "done": found == after}
        )
        if found == before:  # the same act, again
            if way == "roll back":
                rollback(category, why="it is worse", who="Grace")
            else:
                promote(category, version=after, why="it is better", who="Ada", override=True, root=root)
            assert champion(category) == after
            assert len(released_versions(connect(), category)) == versions + 1
    program.end()
    assert sum(one["killed"] for one in record) > KILLS / 2
    found = verify(category, files=True)
    assert found.errors == []
    if SOAK:
        about = {"kills": sum(one["killed"] for one in record), "one_champion_and_a_history_that_verifies": True}
        about |= {"places_of_a_promotion": len(promoting), "places_of_a_rollback": len(rolling_back)}
        RECORD.write_text(json.dumps(about | {"runs": record}, indent=1) + "\n", encoding="utf-8")


def _former(category: str) -> int:
    """The candidate that a rollback would bring back."""
    line = {entry.version: entry for entry in history(category)}
    entry = list(line.values())[-1]
    while entry.restores is not None:
        entry = line[entry.restores]
    assert entry.replaces is not None
    former = line[entry.replaces].candidate
    assert former is not None
    return former


def test_of_many_promotions_at_once_one_counts_and_the_others_are_refused(
    train: Callable[..., Path], category: str
) -> None:
    root = train("a")
    command = [sys.executable, "-c", AT_ONCE, category, str(root)]
    people = [
        subprocess.Popen(
            [*command, str(group), str(EACH)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for group in range(GROUPS)
    ]
    for person in people:
        assert person.stdout is not None
        assert person.stdout.readline() == "ready\n"
    for person in people:
        assert person.stdin is not None
        person.stdin.write("go\n")
        person.stdin.flush()
    said = [line for person in people for line in person.communicate()[0].splitlines()]

    assert len(said) == GROUPS * EACH
    assert Counter(line.partition(":")[0] for line in said) == {"promoted": 1, "refused": GROUPS * EACH - 1}, said
    faster = f"refused: {category}: someone else changed the champion at the same time"
    later = f"refused: {category}: the champion is version "
    assert [line for line in said if not line.startswith(("promoted", faster, later))] == []
    assert champion(category) == 1
    assert len(history(category)) == 1
