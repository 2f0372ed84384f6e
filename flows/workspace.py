"""A clone of the repository for one flow run, on the shared DVC cache, gone when the run ends."""

import logging
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from destseg.files import remove
from destseg.settings import read_environment
from destseg.storage import versions
from destseg.storage.locks import taken
from destseg.storage.memo import CACHE
from destseg.storage.process import ProcessError
from destseg.storage.sharing import using_cache
from destseg.text import without_login
from flows.commands import may_pass

log = logging.getLogger(__name__)
_OURS = re.compile(r"-[0-9a-f]{8}$")  # ends of the names that `workspace` gives
CLONE_SECONDS = 600
PAUSES = (5, 30, 120)  # seconds before each further attempt to clone from a server that did not answer


@dataclass(frozen=True, kw_only=True)
class WorkspaceSettings:
    """Read from DESTSEG_ORIGIN, DESTSEG_BRANCH, DESTSEG_WORKSPACES and DESTSEG_CACHE."""

    origin: str
    """Address of the git repository."""
    branch: str = "main"
    """What is cloned, and what ingest pushes to."""
    workspaces: Path = Path(tempfile.gettempdir()) / "destseg-workspaces"
    """Folder of the clones."""
    cache: Path = CACHE
    """Its folder `dvc` is DVC's cache, `checkpoints` what killed trainings left; put it where the workers share it."""


@contextmanager
def workspace(name: str, *, shares_cache: bool = True) -> Iterator[Path]:
    """A fresh clone below $DESTSEG_WORKSPACES, called `name` and an id; what dead runs left there is removed first.

    Nothing is collected from the DVC cache while it lives, unless it is made to do that (`shares_cache` false).
    """
    settings = read_environment(WorkspaceSettings)
    settings.workspaces.mkdir(parents=True, exist_ok=True)
    sweep(settings.workspaces)
    folder = settings.workspaces / f"{name}-{uuid.uuid4().hex[:8]}"
    with using_cache(settings.cache) if shares_cache else nullcontext(), _held(folder):
        try:
            _clone(settings, folder)
            versions.use_cache(folder, settings.cache / "dvc")
            yield folder
        finally:
            remove(folder)


def sweep(workspaces: Path) -> None:
    """Removes the clones whose runs are dead: a lock ends with its run."""
    for lock in workspaces.glob("*.lock"):
        try:
            file = lock.open("r+")
        except FileNotFoundError:  # its run has ended since, or another sweep was here
            continue
        with file:
            if taken(file):
                log.info("removing %s, which a dead run left", lock.with_suffix(""))
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)  # another sweep may be at it
                lock.unlink(missing_ok=True)
    for folder in workspaces.iterdir():  # a lock comes before its clone: one without was left by a removal that failed
        if _OURS.search(folder.name) and folder.is_dir() and not folder.with_name(f"{folder.name}.lock").exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Holds <folder>.lock for as long as the run lives."""
    path = folder.with_name(f"{folder.name}.lock")
    while True:
        with path.open("w") as file:
            # A sweep that came between the two calls has removed the file that is now locked.
            if not taken(file) or not path.exists():
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _clone(settings: WorkspaceSettings, folder: Path) -> None:
    command = ["clone", "--quiet", "--branch", settings.branch, settings.origin, folder.name]
    for pause in (*PAUSES, None):
        try:
            versions.git(settings.workspaces, *command, timeout=CLONE_SECONDS)
        except ProcessError as error:
            if pause is None or not may_pass(error):
                raise
            log.warning("cloning %s again in %d s: %s", without_login(settings.origin), pause, error)
            remove(folder)
            time.sleep(pause)
        else:
            return
