"""Ingest killed -9 at seeded random lines of its code: a rerun ends where an undisturbed run does.

`DESTSEG_SOAK=1` (make soak) kills 50 times instead of 5 and records each in benchmarks/results/soak_ingest.json.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from destseg.storage import versions

from .line import Line, first_version, mask, photograph

SOAK = bool(os.environ.get("DESTSEG_SOAK"))
KILLS = 50 if SOAK else 5
RECORD = Path(__file__).parents[2] / "benchmarks/results/soak_ingest.json"
# Counts the lines of ingest and storage that any thread executes, and ends the process at the one that is asked for.
PROGRAM = """
import os, pathlib, signal, sys, threading
root, bucket, note, last = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]), int(sys.argv[4])
from destseg.ingest.batch import IngestSettings, ingest
count, lock = 0, threading.Lock()

def line(frame, event, argument):
    global count
    if event == "line":
        with lock:
            count += 1
            if count == last:
                note.write_text(f"{pathlib.Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
                os.kill(os.getpid(), signal.SIGKILL)
    return line

def call(frame, event, argument):
    name = frame.f_code.co_filename
    return line if f"{os.sep}destseg{os.sep}ingest" in name or f"{os.sep}destseg{os.sep}storage" in name else None

threading.settrace(call)
sys.settrace(call)
ingest("washer", root=root, bucket=bucket, settings=IngestSettings())
sys.settrace(None)
note.write_text(str(count))
"""


class Batch:
    """Three good photographs, one under two keys, a defect with its mask, one unusable, one defect of a bad mask."""

    def __init__(self, number: int) -> None:
        self.good = [photograph() for _ in range(3)]
        self.defect, self.bad = photograph(), photograph()[:-99]
        self.sent = {f"{number}/{index}.png": one for index, one in enumerate(self.good)}
        self.sent |= {f"{number}/again.png": self.good[0], f"{number}/0.json": b'{"line": "L1"}'}
        self.sent |= {f"defects/dent/{number}.png": self.defect, f"defects/dent/{number}_mask.png": mask()}
        self.sent |= {f"{number}/bad-{number}.png": self.bad}
        self.sent |= {
            f"defects/dent/bad-{number}.png": photograph(),
            f"defects/dent/bad-{number}_mask.png": mask(size=9),
        }

    def accepted(self) -> list[str]:
        """The keys of the photographs that become part of the dataset."""
        return [key for key in self.sent if key.endswith(".png") and "bad" not in key and "_mask" not in key]

    def added(self) -> dict[str, str]:
        """What the dataset gains: MD5 by name."""
        name = hashlib.sha256(self.defect).hexdigest()[:16]
        return {
            f"test/dent/{name}.png": hashlib.md5(self.defect).hexdigest(),
            f"ground_truth/dent/{name}_mask.png": hashlib.md5(mask()).hexdigest(),
        }


def run(line: Line, stop: int) -> tuple[int, str]:
    """(exit status, what the program noted) of an ingest that ends at its line number `stop`, or at its own end."""
    note = line.folder / "note"
    note.unlink(missing_ok=True)
    command = [sys.executable, "-c", PROGRAM, str(line.clone()), line.bucket, str(note), str(stop)]
    status = subprocess.run(command, timeout=300).returncode
    return status, note.read_text()


@pytest.fixture(scope="module")
def line(shared_origin: Any, tmp_path_factory: pytest.TempPathFactory) -> Line:
    return first_version(shared_origin, tmp_path_factory.mktemp("plant"))


def settled(line: Line, files: dict[str, str], batch: Batch, number: int) -> dict[str, str]:
    """The dataset's files after the batch, once all is as an undisturbed run leaves it: nothing lost, nothing twice."""
    expected = line.version_with(files | batch.added(), batch.good)
    assert line.version() == expected
    assert line.keys("inbox/") == []
    assert line.quarantined(f"bad-{number}") == 2  # the unusable one and the defect
    assert line.quarantined(f"bad-{number}_mask") == 1
    root = line.clone()
    records = [json.loads(one) for one in (root / "data/mvtec/washer.provenance.jsonl").read_text().splitlines()]
    keys = [key for record in records for key in record["keys"]]
    assert [keys.count(f"inbox/washer/{key}") for key in batch.accepted()] == [1] * 5
    return versions.listing(root, "washer")


def test_killed_at_any_line_and_run_again_it_ends_as_undisturbed(line: Line) -> None:
    files = versions.listing(line.clone(), "washer")
    batch = Batch(0)
    line.send(batch.sent)
    status, lines = run(line, 0)
    assert status == 0
    files = settled(line, files, batch, 0)

    chance, record = random.Random(5), []
    for number in range(1, KILLS + 1):
        batch = Batch(number)
        line.send(batch.sent)
        stop = chance.randint(1, int(lines))
        status, place = run(line, stop)
        assert status in (-signal.SIGKILL, 0)  # 0: this batch took fewer lines
        line.ingest()
        files = settled(line, files, batch, number)
        record.append({"kill": number, "at_line": stop, "place": place if status else None})
    assert any(one["place"] for one in record)
    if SOAK:
        about = {"kills": len(record), "lines_of_an_undisturbed_run": int(lines), "all_as_undisturbed": True}
        RECORD.write_text(json.dumps(about | {"runs": record}, indent=1) + "\n", encoding="utf-8")
