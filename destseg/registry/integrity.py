"""SHA-256s of a folder's files, and the check that a folder holds exactly what was registered."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from destseg import Error
from destseg.files import sha256


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path with forward slashes, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for a whole folder: of its files' names and SHA-256s."""
    return hashlib.sha256(json.dumps(dict(sorted(files.items()))).encode()).hexdigest()


def check(folder: Path, expected: Mapping[str, str], *, of: str) -> None:
    """An Error when `folder` does not hold exactly the files with these SHA-256s; `of` names what they belong to."""
    found = digests(folder)
    wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if wrong:
        name = wrong[0]
        state = "is missing" if name not in found else "was added" if name not in expected else "has been changed"
        raise Error(
            f"{of}: {name} {state} since it was registered ({len(wrong)} of {len(expected)} files differ); "
            f"do not use it, register it again"
        )
