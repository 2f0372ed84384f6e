"""Removes from $DESTSEG_CACHE what nobody has used for long: abandoned trainings' states, old memos."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from destseg import Error
from destseg.files import remove
from destseg.storage.memo import cache, held

DAYS = 14.0
DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What was removed, and what was too young or in use."""

    removed: int = 0
    bytes: int = 0
    kept: int = 0

    def __str__(self) -> str:
        return f"{self.removed} removed ({self.bytes / 1e6:.1f} MB), {self.kept} kept"


def sweep_checkpoints(days: float = DAYS) -> Swept:
    """Removes the states of trainings that were killed, and that nobody has gone on with for `days`."""
    folder = cache() / "checkpoints"
    # A training that was killed while it wrote its state leaves the half of it in a hidden folder (files.replacing).
    return _sweep([*folder.glob("*.pt"), *folder.glob(".*.pt-*")], days)


def sweep_contents(days: float = DAYS) -> Swept:
    """Removes what was seen in files by code or a Pillow that nobody has used for `days`."""
    return _sweep((cache() / "contents").glob("*.sqlite"), days)


def sweep_models(days: float = DAYS) -> Swept:
    """Removes the copies of registered models and comparisons made more than `days` ago; they are downloaded again."""
    copies = (path for name in ("models", "comparisons") for path in (cache() / name).glob("*"))
    return _sweep((path for path in copies if path.is_dir()), days)


def _sweep(paths: Iterable[Path], days: float) -> Swept:
    if days < 0:
        raise Error(f"days is {days:g}, expected 0 or more")
    removed = size = kept = 0
    for path in sorted(paths):
        owner = path.with_name(path.name[1:].rpartition("-")[0]) if path.name.startswith(".") else path
        with held(owner) as mine:
            found = _files(path)
            if not found or time.time() - max(file.stat().st_mtime for file in found) < days * DAY or not mine:
                kept += 1
                continue
            removed, size = removed + 1, size + sum(file.stat().st_size for file in found if file.is_file())
            for each in (path, path.with_name(f"{path.name}-journal")):  # SQLite's, of a writer that was killed
                remove(each)
            owner.with_name(f"{owner.name}.lock").unlink(missing_ok=True)
    return Swept(removed=removed, bytes=size, kept=kept)


def _files(path: Path) -> list[Path]:
    return [path, *(file for file in path.rglob("*") if file.is_file())] if path.exists() else []
