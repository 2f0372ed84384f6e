"""Runs a command and ends its whole process group when the caller is gone. process.run starts this file by its path.

Standard input is a pipe that only the caller holds open: it ends when the caller closes it, and just as well when the
caller is killed -9, on any operating system and whichever thread started the command. The file imports nothing of ours.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 5.0  # seconds between SIGTERM and SIGKILL


def main(command: list[str]) -> int:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)  # not SIG_IGN, which the command would inherit
    caller_gone = threading.Event()
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    threading.Thread(target=_watch, args=(caller_gone,), daemon=True).start()
    code = child.wait()
    if caller_gone.is_set():  # the command has obeyed; its own children had the same SIGTERM
        os.killpg(0, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _watch(caller_gone: threading.Event) -> None:
    while os.read(0, 1):
        pass
    caller_gone.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
