"""The git side of a local folder: a bare origin, and a checkout that carries a snapshot of the project into it."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from destseg import Error
from destseg.files import remove, replacing

NAME, EMAIL, BRANCH = "destseg demo", "demo@destseg.invalid", "main"
# The folder's own datasets live here; the project's stay at home.
DATASETS = PurePosixPath("data/mvtec")


class Repository:
    """`folder`/origin.git, which stays, and `folder`/checkout, made anew by each run; `env` is what git runs with."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.origin, self.checkout, self._env = folder / "origin.git", folder / "checkout", env

    def git(self, *arguments: str | Path) -> str:
        """The output of `git ARGUMENTS` in the checkout; an Error repeats what git says."""
        return self._run(["git", *map(str, arguments)], self.checkout)

    def prepare(self) -> None:
        """An origin, and a fresh checkout of it: nothing that a killed run left half-done in either stays."""
        if not self.origin.exists():
            with replacing(self.origin) as fresh:
                self._run(["git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(fresh)])
        for lock in self.origin.rglob("*.lock"):  # nothing else works on this folder now
            lock.unlink()
        self.clone()

    def clone(self) -> None:
        """A fresh checkout of the origin, which others may be pushing to."""
        remove(self.checkout)
        self._run(["git", "clone", "--quiet", str(self.origin), str(self.checkout)])
        self.git("config", "user.name", NAME)
        self.git("config", "user.email", EMAIL)

    def unlock(self) -> None:
        """Removes the locks that killed commands have left in the origin: no push would pass them."""
        for lock in stale_locks(self.origin):
            lock.unlink(missing_ok=True)

    def published(self) -> bool:
        """Whether the origin is there and holds a commit to clone."""
        command = ["git", f"--git-dir={self.origin}", "rev-parse", "--quiet", "--verify", f"refs/heads/{BRANCH}"]
        done = subprocess.run(command, env=dict(self._env), capture_output=True, check=False)
        return self.origin.is_dir() and done.returncode == 0

    def update(self) -> None:
        """Brings the checkout to what the flows have pushed."""
        self.git("pull", "--quiet", "--ff-only", "origin", BRANCH)

    def take_snapshot(self, project: Path) -> None:
        """Replaces the checkout's files, but for its datasets, by those of `project` that git would not ignore."""
        for name in self._files(["ls-files", "-z"]):
            (self.checkout / name).unlink(missing_ok=True)
        # The checkout's own git directory, so that a project without git, or of another owner, does as well.
        listing = ["-c", f"core.excludesFile={os.devnull}", f"--work-tree={project.resolve()}", "ls-files", "-z"]
        for name in self._files([*listing, "--cached", "--others", "--exclude-standard"], cwd=project):
            source, target = project / name, self.checkout / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)

    def publish(self, message: str) -> bool:
        """Commits everything in the checkout and pushes it; False when there was nothing new."""
        self.git("add", "--all")
        changed = bool(self.git("status", "--porcelain"))
        if changed:
            self.git("commit", "--quiet", "-m", message)
        self.git("push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return changed

    def _files(self, command: list[str], cwd: Path | None = None) -> list[str]:
        listed = self._run(["git", f"--git-dir={self.checkout.resolve() / '.git'}", *command], cwd or self.checkout)
        return [name for name in listed.split("\0") if name and DATASETS not in PurePosixPath(name).parents]

    def _run(self, command: list[str], cwd: Path | None = None) -> str:
        done = subprocess.run(command, cwd=cwd, env=dict(self._env), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Error(f"`{' '.join(command[:4])} ...` in {cwd or Path.cwd()} failed: {done.stderr.strip()}")
        return done.stdout.strip()


def stale_locks(origin: Path) -> list[Path]:
    """git's locks in `origin` that are more than an hour old; git holds one for seconds."""
    found = []
    for path in origin.rglob("*.lock"):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile, so in use
            if path.stat().st_mtime < time.time() - 3600:
                found.append(path)
    return sorted(found)
