"""One process that is started again when it ends: its command, its log, its state, and how long it waits."""

import datetime
import logging
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from destseg.files import replacing
from destseg.local import children, loopback
from destseg.text import printable

log = logging.getLogger(__name__)
# `silent`: it runs and has stopped answering. `waiting`: it has ended and will be started again.
State = Literal["starting", "up", "silent", "waiting"]
LONGEST_SECONDS = 60.0
RESET_SECONDS = 300.0
MOST_LOG_BYTES = 10_000_000
_LOOK_SECONDS = 10.0
_SILENT_AFTER = 3  # looks without an answer; a server on a busy machine may miss one
_TAIL_BYTES = 4096


@dataclass
class Backoff:
    """Seconds until the next start: 1, 2, 4 ... 60; from 1 again after five minutes alive."""

    ends: int = 0

    def after(self, alive: float) -> float:
        """The pause after an end that came `alive` seconds after the start."""
        self.ends = 1 if alive >= RESET_SECONDS else self.ends + 1
        return min(LONGEST_SECONDS, 2.0 ** min(self.ends - 1, 6))


@dataclass
class Child:
    """A command under the guard. `tend`, called about once a second, starts it again when it has ended."""

    title: str
    """As in "the s3 server"."""
    command: list[str]
    cwd: Path
    env: dict[str, str]
    log: Path
    health: str | None = None
    """What a server answers; None for a process that listens nowhere: it is up while it runs."""
    port: int | None = None
    before: Callable[[], None] = lambda: None
    """Done before each start."""
    state: State = "starting"
    since: float = field(default_factory=time.time)
    """Of the state, in seconds since 1970."""
    restarts: int = 0
    last_exit: str | None = None
    _process: "subprocess.Popen[bytes] | None" = None
    _backoff: Backoff = field(default_factory=Backoff)
    _started: float = 0.0
    _due: float = 0.0
    _missed: int = 0
    _log_start: int = 0

    def start(self) -> None:
        """Starts the command; its output is added to the log."""
        self.log.parent.mkdir(exist_ok=True)
        bound(self.log)
        self.before()
        now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        with self.log.open("a", encoding="utf-8") as output:
            output.write(f"--- started by destseg at {now} ---\n")
            output.flush()
            self._log_start = output.tell()
            self._process = children.start(self.command, cwd=self.cwd, env=self.env, output=output)
        self._started, self._missed, self._due = time.monotonic(), 0, 0.0
        self._become("up" if self.health is None else "starting")

    @property
    def pid(self) -> int | None:
        """Of the guard, which leads the process group; None while it waits to be started again."""
        return None if self._process is None else self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it does not run now."""
        return self._process is None or self._process.poll() is not None

    def answers(self) -> bool:
        """Whether it answers now; it is `up` from its first answer on."""
        found = self.health is None or loopback.answers(self.health)
        if found and self.state in ("starting", "silent"):
            log.info("%s answers%s", self.title, " again" if self.state == "silent" else "")
            self._become("up")
        self._missed = 0 if found else self._missed + 1
        return found

    def tend(self) -> None:
        """Looks after it: a line in the log and a later start when it has ended, a line when it is silent."""
        try:
            self._tend(time.monotonic())
        except OSError as error:  # a full disk, no process to be had: the others go on, and this one when it can
            pause = self._backoff.after(0.0)
            log.warning("%s cannot be looked after: %s; the next try is in %.0f s", self.title, error, pause)
            self._due = time.monotonic() + pause

    def _tend(self, now: float) -> None:
        if self._process is None:
            if now >= self._due:
                self._start_again()
        elif self._process.poll() is not None:
            self._take_end(self._process)
        elif now >= self._due:
            bound(self.log)
            if not self.answers() and self.state == "up" and self._missed >= _SILENT_AFTER:
                log.warning("%s runs but does not answer %s; its log %s", self.title, self.health, self.log_end())
                self._become("silent")
            self._due = time.monotonic() + (1.0 if self.state == "starting" else _LOOK_SECONDS)

    def log_end(self) -> str:
        """The last line that it has written since its start, as in "<path> ends: ..."."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, 2)
                begin = self._log_start if self._log_start <= size else 0  # the log was cut meanwhile
                file.seek(max(begin, size - _TAIL_BYTES))
                lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        except OSError as error:
            return f"{self.log} cannot be read: {error.strerror}"
        return f"{self.log} ends: {printable(lines[-1].strip())[:400] if lines else '(nothing)'}"

    def _take_end(self, process: "subprocess.Popen[bytes]") -> None:
        alive = time.monotonic() - self._started
        pause = self._backoff.after(alive)
        children.end_group(process)  # what it left behind would hold its port
        when = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        how = _words(process.returncode)
        self.last_exit = f"{how} at {when}"
        log.warning(
            "%s ended (%s) after %.0f s; its log %s; it is started again in %.0f s",
            self.title, how, alive, self.log_end(), pause,
        )  # fmt: skip
        self._process, self._due = None, time.monotonic() + pause
        self._become("waiting")

    def _start_again(self) -> None:
        """Never on another port: addresses are in the environment of what runs, and of its users."""
        if self.port is not None and not loopback.is_free(self.port):
            pause = self._backoff.after(0.0)
            who = loopback.holder(self.port)
            self.last_exit = f"port {self.port} is taken by {who}; {self.title} waits for it"
            log.warning("%s; the next try is in %.0f s", self.last_exit, pause)
            self._due = time.monotonic() + pause
            return
        self.start()
        self.restarts += 1
        log.info("%s is started again (restart %d)", self.title, self.restarts)

    def _become(self, state: State) -> None:
        self.state, self.since = state, time.time()


def bound(path: Path) -> None:
    """Moves what a log of more than 10 MB holds to <log>.1. In place: its process goes on writing at the end."""
    if path.exists() and path.stat().st_size > MOST_LOG_BYTES:
        with replacing(path.with_name(f"{path.name}.1")) as old:
            shutil.copyfile(path, old)
        with path.open("r+b") as file:
            file.truncate()


def _words(code: int) -> str:
    """How a process under the guard ended: the guard says 128 + N for signal N, as a shell does."""
    number = -code if code < 0 else code - 128
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {code}"
