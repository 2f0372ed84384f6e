"""A long run speaks at least every ten seconds, and knows the most memory that it held."""

import logging
import subprocess
import sys
import time

import pytest

from destseg.local import progress
from destseg.local.progress import Progress, memory_mb


def test_silence_is_explained(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE_SECONDS", 0.5)
    with caplog.at_level(logging.INFO), Progress() as running:
        running.doing("rendering")
        time.sleep(2.5)
    assert any("still at: rendering" in line for line in caplog.messages)


def test_the_memory_of_children_counts() -> None:
    before = memory_mb()
    program = "block = b'x' * 200_000_000; print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        during = memory_mb()
        child.kill()
    assert during - before > 190
