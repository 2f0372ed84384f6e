"""Dataset versions and code versions: git and DVC, both as subprocesses."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from destseg import Error
from destseg.storage import objects
from destseg.storage.process import ProcessError, environment, run

DATASETS = Path("data/mvtec")  # as dataset.layout has it, a floor above
_LOST_RACE = re.compile(r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value")
_HINTS = ("To track the changes with git", "git add ", "To enable auto staging", "dvc config core.autostage")
_LONG = 600.0  # seconds: git over a slow network, not a dead one


def git(root: Path, *arguments: str, timeout: float = 60) -> str:
    """Output of `git <arguments>` in `root`; never asks for a password."""
    env = environment({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    return run(["git", *arguments], cwd=root, env=env, timeout=timeout)


def dvc(root: Path, *arguments: str, log: Callable[[str], None] | None = None, timeout: float | None = None) -> str:
    """Output of `dvc <arguments>` in `root`, by this Python's DVC; `log` is spared its hints on what to type next."""

    def shown(line: str) -> None:
        if log is not None and line.strip() and not line.strip().startswith(_HINTS):
            log(line)

    return run(["dvc", *arguments], cwd=root, timeout=timeout, log=None if log is None else shown)


def pointer(category: str) -> Path:
    """The file in git that names the category's dataset version."""
    return DATASETS / f"{category}.dvc"


def dataset_version(root: Path, category: str) -> str:
    """The DVC hash of data/mvtec/<category>/, such as d41d8cd9....dir."""
    return str(_tracked(root, category)["md5"])


def _tracked(root: Path, category: str) -> dict[str, Any]:
    path = root / pointer(category)
    try:
        (entry,) = yaml.safe_load(path.read_text(encoding="utf-8"))["outs"]
        if str(entry["md5"]).endswith(".dir"):
            return dict(entry)
    except FileNotFoundError:
        raise Error(
            f"category {category!r} has no dataset here ({path} does not exist); "
            f"add one with `destseg dataset add {category} --from DIR`"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        pass
    raise Error(f"{path} names no dataset version; expected what `dvc add` writes for a folder, restore it from git")


def check_place(root: Path, category: str) -> None:
    """An Error unless the category's .dvc file names its own folder: DVC writes to whatever path it says."""
    if (found := _tracked(root, category).get("path")) != category:
        raise Error(f"{root / pointer(category)} names the path {found!r}, expected {category!r}; restore it from git")


def tracked(root: Path, category: str, commit: str) -> dict[str, Any]:
    """What the category's .dvc file said in `commit`: md5 (the dataset version), nfiles; empty if there was none."""
    try:
        text = git(root, "show", f"{commit}:{pointer(category).as_posix()}")
        (entry,) = yaml.safe_load(text)["outs"]
    except (ProcessError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return {}
    return dict(entry)


def newest_version(root: Path, category: str) -> str:
    """The category's dataset version in origin's branch as it is now; the clone stays where it is."""
    git(root, "fetch", "--quiet", "origin", branch(root), timeout=_LONG)
    return str(tracked(root, category, "FETCH_HEAD").get("md5", ""))


def read(root: Path, category: str, commit: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of these files of the version in `commit`, from DVC's cache or its remote."""
    from dvc.api import DVCFileSystem  # seconds

    files = DVCFileSystem(str(root.resolve()), rev=commit)
    for name in names:
        with files.open((DATASETS / category / name).as_posix(), "rb") as file:
            yield name, file.read()


def listing(root: Path, category: str, commit: str | None = None) -> dict[str, str]:
    """MD5 of every file of the dataset version, by its name below the dataset's folder; downloads none of them.

    Of the version in the workspace, or of the one in `commit`.
    """
    entry = tracked(root, category, commit) if commit else _tracked(root, category)
    if not entry:
        raise Error(f"commit {commit} has no dataset of {category}; expected {pointer(category)} in it")
    found: dict[str, str] = ask(root, "list", str(entry["md5"]))
    if len(found) != entry.get("nfiles"):
        raise Error(
            f"the list of dataset version {entry['md5']} has {len(found)} files, {pointer(category)} says "
            f"{entry.get('nfiles')}; restore that file from git"
        )
    return found


def add(root: Path, category: str, names: Sequence[str]) -> None:
    """Take new files, by their names below the dataset's folder, into the dataset; the others need not be here."""
    check_place(root, category)
    ask(root, "add", pointer(category).as_posix(), *((DATASETS / category / name).as_posix() for name in names))


def ask(root: Path, question: str, about: str, *names: str) -> Any:
    """The answer of objects.py in `root`."""
    output = run([sys.executable, "-I", objects.__file__, question, about, *names], cwd=root, timeout=_LONG)
    return json.loads(output.splitlines()[-1])  # warnings may precede it


def head(root: Path) -> str:
    """The commit that is checked out."""
    return git(root, "rev-parse", "HEAD").strip()


def commit_of(root: Path, revision: str) -> str | None:
    """The commit that a git revision names, such as main~1 or a tag; None if it names none."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except ProcessError:
        return None


def is_clean(root: Path) -> bool:
    """Whether the working tree is the commit: nothing changed, nothing untracked that git does not ignore."""
    return not git(root, "status", "--porcelain").strip()


def branch(root: Path) -> str:
    """The branch that is checked out, an Error when there is none."""
    name = git(root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    if name == "HEAD":
        raise Error(f"{root.resolve()} is on no branch; check one out, such as `git switch main`")
    return name


def update(root: Path) -> None:
    """Bring a clean clone to its origin's newest commit; an Error when it holds work that origin has not."""
    name = branch(root)
    git(root, "fetch", "--quiet", "origin", name, timeout=_LONG)
    ahead = int(git(root, "rev-list", "--count", f"origin/{name}..HEAD"))
    if ahead or not is_clean(root):
        found = f"{ahead} commit(s) that origin/{name} has not" if ahead else "changed files"
        raise Error(f"{root.resolve()} has {found}; expected a clean clone: push or undo them, or clone anew")
    git(root, "merge", "--quiet", "--ff-only", f"origin/{name}")


def commit(root: Path, paths: Sequence[Path], message: str) -> str:
    """Commit these files and nothing else; the commit's hash."""
    names = [path.as_posix() for path in paths]
    git(root, "add", "--", *names)
    git(root, *_identity(root), "commit", "--quiet", "-m", message, "--", *names)
    return head(root)


def push(root: Path) -> bool:
    """Push the branch to origin: False when somebody else has pushed in between, an Error when it is refused."""
    try:
        git(root, "push", "--quiet", "--porcelain", "origin", f"HEAD:refs/heads/{branch(root)}", timeout=_LONG)
    except ProcessError as error:
        if _LOST_RACE.search(error.tail):
            return False
        raise
    return True


def replay(root: Path) -> bool:
    """Put our one unpushed commit on top of what origin has now.

    False when the others changed the same files, or made the same change: then the clone is at origin's commit and
    the work is to be done again.
    """
    name = branch(root)
    git(root, "fetch", "--quiet", "origin", name, timeout=_LONG)
    try:
        git(root, *_identity(root), "rebase", "--quiet", f"origin/{name}")
    except ProcessError:
        git(root, "rebase", "--abort")
        git(root, "reset", "--quiet", "--hard", f"origin/{name}")
    return int(git(root, "rev-list", "--count", f"origin/{name}..HEAD")) > 0


def _identity(root: Path) -> list[str]:
    """Options that name a committer on a machine that knows none."""
    try:
        git(root, "config", "user.email")
    except ProcessError:
        return ["-c", "user.name=destseg", "-c", "user.email=destseg@localhost"]
    return []


def use_cache(root: Path, folder: Path) -> None:
    """Have this clone keep DVC's objects in `folder`, shared with other clones, and its own state inside itself.

    Copies, because root writes through a hard link into the cache (and so into every clone).
    """
    state = (root / ".dvc/tmp/site").resolve()
    content = f"[core]\n    site_cache_dir = {state}\n[cache]\n    dir = {folder.resolve()}\n    type = copy\n"
    (root / ".dvc/config.local").write_text(content, encoding="utf-8")


def has_remote(root: Path) -> bool:
    """Whether the repository's DVC configuration names a remote."""
    files = [root / ".dvc/config", root / ".dvc/config.local"]
    return any("remote " in line for file in files if file.exists() for line in file.read_text().splitlines())
