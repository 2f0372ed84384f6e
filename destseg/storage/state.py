"""How a dataset in a workspace stands to its version: whether it is that version, and whether the remote has it."""

import json
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.storage import versions

_NOT_IN_REMOTE = {"new", "missing"}  # DVC's words; "deleted" is there and not in the local cache


def check_checked_out(root: Path, category: str) -> None:
    """An Error unless data/mvtec/<category>/ holds exactly the files of its dataset version."""
    pointer = versions.pointer(category)
    version = versions.dataset_version(root, category)
    if _status(versions.dvc(root, "status", "--json", str(pointer))):
        raise Error(
            f"{root / pointer.with_suffix('')} is not dataset version {version}, which {pointer} names; bring it here "
            f"with `dvc pull {pointer}`, or commit what was changed as a version of its own with `destseg dataset add`"
        )


def is_pushed(root: Path, category: str) -> bool:
    """Whether the remote has every file of the category's dataset version; False without a remote."""
    if not versions.has_remote(root):
        return False
    status = _status(versions.dvc(root, "status", "--cloud", "--json", str(versions.pointer(category))))
    return not _NOT_IN_REMOTE & {str(state) for state in status.values()}


def _status(output: str) -> dict[str, Any]:
    try:  # warnings may precede it
        found: dict[str, Any] = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    except (StopIteration, ValueError):
        raise Error(f"`dvc status` gave no answer: {output[-300:]}") from None
    return found
