"""A dataset version brought into a workspace, its list of files checked before DVC writes any of them.

The list comes from the remote, and DVC 3.67 writes wherever it says: `../../../yaml.py` would be imported by Python.
"""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from destseg import Error
from destseg.storage import versions


def pull(root: Path, category: str, *, log: Callable[[str], None] | None = None, timeout: float | None = None) -> None:
    """What `dvc pull` does for the category; an Error when its version would write outside of its own folder."""
    versions.check_place(root, category)
    check(versions.listing(root, category), f"dataset version {versions.dataset_version(root, category)} of {category}")
    versions.dvc(root, "pull", str(versions.pointer(category)), log=log, timeout=timeout)


def check(names: Iterable[object], of: str) -> None:
    """An Error unless every name in DVC's list of a folder stays below that folder."""
    if outside := [str(name)[:200] for name in names if not is_below(name)]:
        raise Error(
            f"{of} names the file {outside[0]!r}, which lies outside of the dataset; nothing was written. "
            "Find out who made it: `git log` of its .dvc file"
        )


def is_below(name: object) -> bool:
    """Whether a name from outside is that of a file below the folder that it is appended to."""
    if not isinstance(name, str) or not name or "\\" in name or "\0" in name:
        return False
    parts = PurePosixPath(name).parts
    return not name.startswith("/") and ".." not in parts and "." not in name.split("/")
