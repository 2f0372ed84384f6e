"""How a workspace stands to what DVC knows: what has changed in it, and whether the remote has its dataset version."""

import json
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.storage import versions


def changes(root: Path, *names: str) -> dict[str, Any]:
    """What `dvc status` says of these stages or .dvc files: nothing where all are as they were committed."""
    output = versions.dvc(root, "status", "--json", *names)
    try:  # warnings may precede it
        found: dict[str, Any] = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    except (StopIteration, ValueError):
        raise Error(f"`dvc status` of {', '.join(names)} gave no answer: {output[-300:]}") from None
    return found


def check_dataset(root: Path, category: str) -> bool:
    """Whether the remote has the category's dataset version; False without a remote.

    As DVC sees it: where the version's list is, which it sends last, all its files are. An Error unless
    data/mvtec/<category>/ holds exactly the files of this version.
    """
    pointer = versions.pointer(category)
    version = versions.dataset_version(root, category)
    found = versions.ask(root, "standing", pointer.as_posix())
    if found["changed"]:
        raise Error(
            f"{root / pointer.with_suffix('')} is not dataset version {version}, which {pointer} names; bring it here "
            f"with `dvc pull {pointer}`, or commit what was changed as a version of its own with `destseg dataset add`"
        )
    return bool(found["pushed"])
