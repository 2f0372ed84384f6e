"""What a person decided, done by the command line's own verbs as that person: one command for each act, run once."""

import json
import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from destseg import Error
from destseg.review.sessions import Session
from destseg.storage.process import ProcessError, environment, run

AT_ONCE = 2  # each is a process of its own, with all of MLflow, beside the page
TIMEOUT = 30 * 60.0
MOST = 50  # acts of a session whose outcome is remembered
# Of the server's own environment nothing may speak for somebody else.
LOGINS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH")
Verb = Literal["promote", "rollback", "turn-down", "recalibrate"]
State = Literal["proposed", "waiting", "running", "done", "failed"]


@dataclass(kw_only=True)
class Act:
    """A decision: proposed with all that will happen, then confirmed and carried out."""

    category: str
    verb: Verb
    arguments: tuple[str, ...]
    why: str
    title: str
    effects: tuple[str, ...]
    """What will happen, a sentence each."""
    champion: int | None
    """The champion that the person had before their eyes."""
    owner: Session = field(repr=False)
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: State = "proposed"
    result: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    """Why it failed."""

    @property
    def over(self) -> bool:
        """Whether it is done or has failed."""
        return self.state in ("done", "failed")

    @property
    def busy(self) -> bool:
        """Whether it is confirmed and not over."""
        return self.state in ("waiting", "running")


class Acts:
    """What this process's sessions decide, carried out in the checkout `root`. Each session keeps its own acts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._turn = threading.Semaphore(AT_ONCE)
        self._busy: set[str] = set()  # accounts whose act is being carried out, signed out meanwhile or not

    def propose(self, act: Act) -> Act:
        """Keeps it until it is confirmed."""
        with self._lock:
            kept = act.owner.acts
            kept[act.id] = act
            while len(kept) > MOST:
                del kept[next(id_ for id_, one in kept.items() if not one.busy)]
        return act

    def find(self, session: Session, id_: str) -> Act:
        """An act of this session."""
        with self._lock:
            act = session.acts.get(id_)
        if act is None:
            raise Error("this decision is not known any more; look at the category and its history")
        return act

    def confirm(self, act: Act) -> bool:
        """Carries it out in a thread of its own; False when it was confirmed before. One at a time of each account."""
        with self._lock:
            if act.state != "proposed":
                return False
            if act.owner.user in self._busy:  # others wait as well
                raise Error("another decision of yours is being carried out; confirm this one when it is done")
            self._busy.add(act.owner.user)
            act.state = "waiting"
        threading.Thread(target=self._carry_out, args=(act,), name=f"{act.verb}-{act.category}").start()
        return True

    def _carry_out(self, act: Act) -> None:
        state: State = "failed"
        with self._turn:
            act.state = "running"
            try:
                act.result = self._run(act)
                state = "done"
            except Error as error:
                act.said = str(error)
            except BaseException:  # whatever it was, the page must not wait for ever
                act.said = "the page itself failed; its log says more"
                raise
            finally:
                act.owner.forget()
                with self._lock:
                    self._busy.discard(act.owner.user)
                    act.state = state

    def _run(self, act: Act) -> dict[str, Any]:
        command = [sys.executable, "-m", "destseg", "--quiet", act.verb, act.category, *act.arguments]
        command += [f"--why={act.why}", "--json"]
        env = {name: value for name, value in environment().items() if name not in LOGINS} | act.owner.environment()
        # `python -m` would look for destseg in the checkout first; the code that decides is the code of this page.
        env["PYTHONSAFEPATH"] = "1"
        env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *_path(env)])
        try:
            output = run(command, cwd=self._root, env=env, timeout=TIMEOUT)
        except ProcessError as error:
            raise Error(_sentence(error)) from None
        return _result(output)


def _path(env: dict[str, str]) -> list[str]:
    return [env["PYTHONPATH"]] if env.get("PYTHONPATH") else []


def _sentence(error: ProcessError) -> str:
    """What the command said last on its behalf: `destseg: ...`, without a traceback or the command itself."""
    lines = error.tail.splitlines()
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("destseg: "):
            return "\n".join([lines[index].removeprefix("destseg: "), *lines[index + 1 :]])
    if error.rc is None:
        return f"it took more than {TIMEOUT / 60:.0f} minutes and was stopped; look at the history before trying again"
    return f"the command ended with {error.rc}: {lines[-1] if lines else 'it said nothing'}"


def _result(output: str) -> dict[str, Any]:
    """The line of JSON among what the command printed."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
    raise Error("the command ended well but told no result; look at the history")
