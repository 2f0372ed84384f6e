"""`destseg up --check` on folders where nothing runs: it says what is wrong, and starts and changes nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

from destseg.local import children
from destseg.local.check import check
from destseg.local.lock import alone, held


def found(folder: Path) -> dict[str, tuple[bool, str]]:
    return {finding.what: (finding.well, finding.text) for finding in check(folder, folder=folder).findings}


def test_a_folder_that_is_not_there_stays_so(tmp_path: Path) -> None:
    checked = check(tmp_path, folder=Path("line"))
    assert not checked.well
    assert "is not there; `destseg up` makes it" in str(checked)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_lacks_everything_but_room_and_leftovers(tmp_path: Path) -> None:
    findings = found(tmp_path)
    assert [name for name, (well, _) in findings.items() if well] in (["disk", "leftovers"], ["leftovers"])
    assert findings["s3"][1].endswith("ports.json names no port of it: it was never started")
    assert findings["lock"] == (False, "nobody holds it: neither `up` nor `demo` is running")
    assert "cannot be cloned" in findings["git origin"][1]
    assert list(tmp_path.iterdir()) == []


def test_a_held_lock_names_its_process_and_is_left_alone(tmp_path: Path) -> None:
    with alone(tmp_path):
        assert found(tmp_path)["lock"][0]
        assert held(tmp_path) == str(os.getpid())
    assert held(tmp_path) is None


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all" * 100)
    well, text = found(tmp_path)["MLflow database"]
    assert not well
    assert "mlflow.db cannot be read: file is not a database" in text


def test_a_damaged_list_of_ports_is_named(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"s3": 2')
    assert "ports.json is no JSON" in found(tmp_path)["ports"][1]


def test_a_server_that_does_not_answer_is_named_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"s3": 1}')
    well, text = found(tmp_path)["s3"]
    assert not well
    assert text == f"http://127.0.0.1:1 does not answer; its log is {tmp_path}/logs/s3.log"


def test_leftovers_of_a_killed_run_are_listed(tmp_path: Path) -> None:
    lock = tmp_path / "origin.git" / "refs" / "heads" / "main.lock"
    young = lock.with_name("other.lock")
    partial = tmp_path / "s3" / "destseg" / ".rclone_temp_put_1"
    for path in (lock, young, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(lock, times=(time.time() - 4000,) * 2)
    env = os.environ | children.mark(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=env) as orphan:
        well, text = found(tmp_path)["leftovers"]
        assert orphan.poll() is None
        orphan.kill()
    assert not well
    assert text == f"of a killed run: process {orphan.pid}, {lock}, {partial}; the next `destseg up` removes them"
