"""Each of the signals that mean "end" ends a run with all of its processes, even when more of them follow."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from destseg.local import children

RUN = """
import signal, sys, time
from pathlib import Path
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the tests themselves may run under nohup
    signal.signal(number, signal.SIG_DFL)
from destseg.local.interrupt import interruptible
from destseg.local.servers import Servers
with interruptible(), Servers(Path(sys.argv[1])) as servers:
    servers.s3()
    try:
        servers.ready("s3")
        print("ready", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.stdin.readline()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_everything_and_the_next_ones_do_not_stop_that(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "interrupted\n"
        for another in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(another)
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ended\n"
        assert process.wait(30) == 0
    assert children.owned(tmp_path) == []
