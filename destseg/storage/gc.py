"""`dvc gc` of the repository in the working directory, over all its commits; collection.py runs this file by its path.

    gc.py dry|now [PROJECT...]

`dvc gc --force` would also pass over a folder whose list of files is nowhere to be found, and drop what is in it;
without --force the command asks a person. Called so, DVC drops nothing and fails.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from dvc.exceptions import DvcException, RevCollectionError
from dvc.repo import Repo

_POINTER = r"md5: [0-9a-f]{32}(\.dir)?"
_POINTERS = ("*.dvc", "*dvc.lock")


class History(Repo):  # type: ignore[misc]  # DVC has no types
    """A repository, some of whose commits are left out."""

    refused: frozenset[str] = frozenset()

    def brancher(self, *args: Any, **kwargs: Any) -> Iterator[str]:
        """The commits that DVC goes through, one checked out after the other."""
        return (commit for commit in super().brancher(*args, **kwargs) if commit not in self.refused)


def collect(projects: list[str], *, dry: bool) -> None:
    """What no commit names goes. A commit whose dvc.yaml DVC refuses is left out if others name all that it does."""
    repo = History(".")
    try:
        repo.gc(workspace=True, all_commits=True, repos=projects, dry=dry)
    except RevCollectionError:
        repo.refused = refused(repo)
        if not repo.refused:
            raise
        commits = _git("rev-list", "--all").split()
        alone = named(repo.refused) - named(commit for commit in commits if commit not in repo.refused)
        if alone:
            which = ", ".join(sorted(commit[:12] for commit in repo.refused))
            raise DvcException(
                f"commits with a dvc.yaml that DVC refuses: {which}; they name {len(alone)} objects that "
                f"no other commit does, the first is {min(alone)}"
            ) from None
        repo.gc(workspace=True, all_commits=True, repos=projects, dry=dry)


def refused(repo: Repo) -> frozenset[str]:
    """The commits whose dvc.yaml DVC cannot read."""
    found = set()
    for commit in repo.brancher(all_commits=True, workspace=False):
        try:
            list(repo.index.outs)
        except DvcException:
            found.add(commit)
    return frozenset(found)


def named(commits: Iterable[str]) -> set[str]:
    """The hashes in the pointers of these commits."""
    found: set[str] = set()
    every = list(commits)
    for start in range(0, len(every), 500):  # a command line has its limits
        some = every[start : start + 500]
        found.update(_git("grep", "-h", "-o", "-E", _POINTER, *some, "--", *_POINTERS).splitlines())
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode > 1:  # 1: `git grep` has found nothing
        raise DvcException(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    for name in ("dvc", "dvc_data"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        collect(sys.argv[2:], dry=sys.argv[1] == "dry")
    except Exception as error:  # all that DVC raises; at its end dulwich would say more than the error's tail holds
        print(" ".join(str(error).split()), flush=True)
        os._exit(1)


if __name__ == "__main__":
    main()
