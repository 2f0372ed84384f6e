"""A dataset's archive as it is downloaded (tar, tar.xz, tar.gz, zip), unpacked beside its destination for a while."""

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from destseg import Error

_MOST_FILES = 1_000_000
_KEPT_FREE = 1_000_000_000  # bytes of the disk that no archive may fill


@contextmanager
def unpacked(archive: Path, scratch: Path) -> Iterator[Path]:
    """The archive's content in a temporary folder below `scratch`.

    An Error, and nothing is left, when a member is no plain file or folder, would lie outside, or fills the disk.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="archive-") as folder:
        try:
            if tarfile.is_tarfile(archive):
                _tar(archive, Path(folder))
            elif zipfile.is_zipfile(archive):
                _zip(archive, Path(folder))
            else:
                raise Error(f"{archive} is no archive that can be read; expected a folder, tar, tar.xz, tar.gz or zip")
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise Error(f"{archive} cannot be unpacked ({error}); get it anew") from None
        yield Path(folder)


def _tar(archive: Path, folder: Path) -> None:
    budget = _Budget(archive, folder)
    with tarfile.open(archive) as tar:
        for member in tar:
            budget.take(member.name, member.size, plain=member.isreg() or member.isdir())
            tar.extract(member, folder, filter="data")


def _zip(archive: Path, folder: Path) -> None:
    budget = _Budget(archive, folder)
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = member.external_attr >> 28  # of the Unix mode: 4 is a folder, 8 a file, 0 unknown
            budget.take(member.filename, member.file_size, plain=kind in (0, 4, 8))
            file.extract(member, folder)


class _Budget:
    """What an archive may still write."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.files = archive, _MOST_FILES
        self.bytes = shutil.disk_usage(folder).free - _KEPT_FREE

    def take(self, name: str, size: int, *, plain: bool) -> None:
        """An Error where the member must not be unpacked."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not plain:
            what = "a link or device" if not plain else "a path that leads out of it"
            raise Error(f"{self.archive} holds {what}, {name!r}; expected plain files in folders, get it anew")
        self.files, self.bytes = self.files - 1, self.bytes - size
        if self.files < 0 or self.bytes < 0:
            raise Error(
                f"{self.archive} holds more than {_MOST_FILES:,} files, or more bytes than the disk has left; "
                f"free some space, or unpack the one category by hand"
            )
