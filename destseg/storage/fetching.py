"""A dataset version brought into a workspace, its list of files checked before DVC writes any of them.

The list comes from the remote, and DVC 3.67 writes wherever it says: `../../../yaml.py` would be imported by Python.
"""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from destseg import Error
from destseg.storage import versions


def pull(root: Path, category: str, *, log: Callable[[str], None] | None = None, timeout: float | None = None) -> None:
    """What `dvc pull` does for the category; an Error when its version would write outside of its own folder."""
    pointer = versions.pointer(category)
    versions.check_place(root, category)
    versions.dvc(root, "fetch", str(pointer), log=log, timeout=timeout)
    check(_list(root, category), category)
    versions.dvc(root, "checkout", str(pointer), log=log, timeout=timeout)


def check(path: Path, category: str) -> None:
    """An Error unless every name in DVC's list of a folder stays below that folder."""
    try:
        names = [entry["relpath"] for entry in json.loads(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Error(f"the list of the files of {category} ({path.name}) cannot be read: {error}") from None
    if outside := [str(name)[:200] for name in names if not is_below(name)]:
        raise Error(
            f"dataset version {path.parent.name}{path.name} of {category} names the file {outside[0]!r}, which lies "
            "outside of the dataset; nothing was written. Find out who made it: `git log` of its .dvc file"
        )


def is_below(name: object) -> bool:
    """Whether a name from outside is that of a file below the folder that it is appended to."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return False
    parts = PurePosixPath(name).parts
    return not name.startswith("/") and ".." not in parts and "." not in name.split("/")


def _list(root: Path, category: str) -> Path:
    version = versions.dataset_version(root, category)
    cache = root / versions.dvc(root, "cache", "dir", timeout=60).strip().splitlines()[-1]
    return cache / "files/md5" / version[:2] / version[2:]
