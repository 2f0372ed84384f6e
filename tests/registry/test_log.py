"""The log of a category: its entries commit to those before them, and many writers at once lose none."""

import subprocess
import sys

import pytest

from destseg.registry import log
from destseg.registry.connection import connect, log_model
from destseg.storage.process import environment

pytestmark = pytest.mark.usefixtures("store")
# Ten threads that append together once a line comes in.
WRITER = """
import sys, threading
from destseg.registry import log
from destseg.registry.connection import connect
client, category, writer = connect(), sys.argv[1], sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()

def write(number):
    log.append(client, category, event="tried", subject=f"models:/x/{writer}", content={"number": number})

threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def append(category: str, event: str) -> log.Entry:
    return log.append(
        connect(), category, event=event, subject="models:/x/1", content={"a": [1, "ü"]}, why="so", who="Ada"
    )


def test_an_entry_is_read_as_it_was_written_and_names_the_one_before(category: str) -> None:
    first, second = append(category, "registered"), append(category, "turned-down")
    assert log.read(connect(), category) == [first, second]
    assert (first.previous, second.previous) == ((), (first.hash,))
    assert (first.number, first.event, first.who, first.why) == (1, "registered", "Ada", "so")
    assert first.content == {"a": [1, "ü"]}
    assert first.sound
    assert first.hash != append(category, "registered").hash


def test_an_entry_without_a_reason_is_sound(category: str) -> None:
    log.append(connect(), category, event="begun", subject="models:/x", content={})
    (entry,) = log.read(connect(), category)
    assert entry.sound
    assert entry.why == ""


def test_twenty_at_once_from_four_processes_are_all_in_the_log(category: str) -> None:
    append(category, "first")
    command = [sys.executable, "-c", WRITER, category]
    writers = [
        subprocess.Popen(
            [*command, str(number)], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(4)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
        assert writer.returncode == 0
    last = append(category, "last")

    entries = log.read(connect(), category)
    assert len({(entry.subject, entry.content["number"]) for entry in entries[1:-1]}) == 20
    assert len(entries) == 22
    assert all(entry.sound for entry in entries)
    # Each is named by a later one, and names only earlier ones: what the last one names leads to every other.
    known: set[str] = set()
    for entry in entries:
        assert set(entry.previous) <= known
        known.add(entry.hash)
    assert known - {name for entry in entries for name in entry.previous} == {last.hash}


def test_an_entry_that_a_repeated_request_wrote_twice_counts_once(category: str) -> None:
    entry = append(category, "registered")
    client = connect()
    twice = client.get_model_version(log_model(category), "1")
    client.create_model_version(twice.name, twice.source, tags=twice.tags)
    assert log.read(client, category) == [entry]
    assert append(category, "after").previous == (entry.hash,)


def test_a_changed_entry_is_not_sound_and_the_log_goes_on_after_it(category: str) -> None:
    append(category, "registered")
    client = connect()
    client.set_model_version_tag(log_model(category), "1", "who", "somebody else")
    client.create_model_version(log_model(category), "destseg-log:/x", tags={"event": "by hand"})
    entries = log.read(client, category)
    assert [entry.sound for entry in entries] == [False, False]
    assert "changed since it was written" in str(entries[0])
    after = append(category, "after")
    assert after.sound
    assert len(after.previous) == 2
