"""Files and folders that are whole under their final name or not there at all, and their hashes."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path of the same name in a temporary sibling folder; what is written there replaces `path` at a clean end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        fresh = Path(folder) / path.name
        yield fresh
        if path.is_dir():  # a folder cannot be renamed over another
            path.rename(Path(folder) / "old")
        fresh.replace(path)


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8 under `path`, complete or not at all."""
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Deletes the file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
