"""One run per name at a time, and an error where that cannot be known."""

import subprocess
import sys
from pathlib import Path

import pytest

from destseg import Error
from destseg.storage.sharing import alone

HOLD = """
import pathlib, sys, time
from destseg.storage.sharing import alone
with alone(pathlib.Path(sys.argv[1]), "retrain-washer") as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


def test_a_name_is_one_process_s_alone_until_that_dies(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with alone(tmp_path, "retrain-washer") as mine, alone(tmp_path, "retrain-fabric") as others:
            assert (mine, others) == (False, True)
        other.kill()
        other.wait()
    with alone(tmp_path, "retrain-washer") as mine:
        assert mine


def test_a_lock_that_cannot_be_made_is_no_other_run(tmp_path: Path) -> None:
    (tmp_path / "alone").write_text("in its place")
    with pytest.raises(Error, match="cannot be written"), alone(tmp_path, "retrain-washer"):
        pass
