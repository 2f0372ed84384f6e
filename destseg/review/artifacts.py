"""Files of the registry on this disk, by their SHA-256: downloaded once, and given only to who may read the version."""

import json
import re
import struct
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from datetime import date
from pathlib import Path
from weakref import WeakValueDictionary

from destseg import Error
from destseg.dataset.layout import GALLERY
from destseg.files import sha256
from destseg.registry.comparison import CONTENT, Reference
from destseg.registry.rest import Rest, Version
from destseg.review.comparison import Comparison, read

LIMITS = {CONTENT: 64 * 2**20, GALLERY: 4 * 2**30}  # bytes
PARITY = "artifacts/package/parity.json"  # among the files of a logged model
PARITY_LIMIT = 2**20
PICTURE_LIMIT = 8 * 2**20
DIRECTORY_LIMIT = 16 * 2**20
_END = struct.Struct("<4s4H2LH")  # the end of a zip archive without a comment
PICTURES = ("photo", "truth", "champion", "challenger")  # of each image compared on
_LOCATOR = 20  # bytes before it, where a larger archive names its own, other end
_MEMBER = re.compile(rf"((0|[1-9][0-9]{{0,5}})/({'|'.join(PICTURES)})|added/(0|[1-9][0-9]{{0,2}}))\.webp")
_WEBP = re.compile(rb"RIFF.{4}WEBP", re.DOTALL)
# RuntimeError: it is encrypted, or of a kind that zipfile does not know; ValueError: a place before its beginning.
_BROKEN = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile)
_OPEN = 8  # parsed comparisons and opened galleries kept


class Artifacts:
    """The cache. Whoever asks has made sure before that the caller may read the version that names the file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # those that somebody holds
        self._comparisons: OrderedDict[str, Comparison] = OrderedDict()
        self._galleries: OrderedDict[str, Gallery] = OrderedDict()

    def comparison(self, registry: Rest, named: Reference) -> Comparison:
        """The comparison that a version names."""
        digest = named.files[CONTENT]
        with self._lock:
            known = self._comparisons.get(digest)
        if known is None:
            known = read(self._file(registry, named, CONTENT))
            with self._lock:
                self._comparisons[digest] = known
                while len(self._comparisons) > _OPEN:
                    self._comparisons.popitem(last=False)
        return known

    def picture(self, registry: Rest, named: Reference, name: str) -> bytes:
        """A picture of its gallery, as WebP: `3/photo`, `added/0`."""
        digest = named.files[GALLERY]
        with self._lock:
            known = self._galleries.get(digest)
        if known is None:
            known = Gallery(self._file(registry, named, GALLERY))
            with self._lock:
                self._galleries[digest] = known
                while len(self._galleries) > _OPEN:
                    self._galleries.popitem(last=False)
        return known.picture(name)

    def parity(self, registry: Rest, version: Version) -> str:
        """The parity report of the version's package; empty where there is none."""
        try:
            digest = json.loads(version.tags.get("files", "{}")).get("parity.json")
        except (ValueError, AttributeError, RecursionError):
            digest = None
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            return ""

        def download(path: Path) -> None:
            registry.download_model(version, PARITY, path, limit=PARITY_LIMIT, sha256=digest)

        path = self._cached(digest, f"parity.json of {version.address}", PARITY_LIMIT, download)
        return path.read_text(encoding="utf-8", errors="replace")

    def report(self, registry: Rest, run_id: str, name: str, limit: int) -> Path:
        """A page that was kept with a run; nothing in the registry says its SHA-256, so it is asked for each day."""
        path = self._folder / "reports" / f"{run_id}-{date.today():%Y%m%d}.html"
        if not re.fullmatch("[0-9a-f]{32}", run_id):
            raise Error(f"{run_id!r} is no run of MLflow's; expected 32 hexadecimal digits")
        if not path.is_file():
            registry.download(run_id, name, path, limit=limit)
        return path

    def _file(self, registry: Rest, named: Reference, name: str) -> Path:
        digest, limit = named.files[name], LIMITS[name]

        def download(path: Path) -> None:
            registry.download(named.run_id, f"comparison/{name}", path, limit=limit, sha256=digest)

        return self._cached(digest, name, limit, download)

    def _cached(self, digest: str, what: str, limit: int, download: Callable[[Path], None]) -> Path:
        """The file with this SHA-256; `download` puts it there."""
        path = self._folder / digest[:2] / digest
        with self._one_at_a_time(digest):  # of many pictures that are asked for at once, one downloads the gallery
            if path.is_file() and (size := path.stat().st_size) > limit:  # there as a file that may be larger
                raise Error(f"{what} has {size} bytes, at most {limit}; register or compare again")
            if not path.is_file() or sha256(path) != digest:
                download(path)
        return path

    def _one_at_a_time(self, digest: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(digest, threading.Lock())


class Gallery:
    """A gallery.zip: entries by the names that they must have, stored as they are."""

    def __init__(self, path: Path) -> None:
        _check_directory(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except (*_BROKEN, struct.error) as error:
            raise Error(f"{GALLERY} cannot be read ({error}); compare again") from None
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._archive.infolist():
            if not _MEMBER.fullmatch(entry.filename) or entry.compress_type != zipfile.ZIP_STORED:
                raise Error(f"{GALLERY} holds {json.dumps(entry.filename)}, expected stored pictures; compare again")
            if entry.file_size > PICTURE_LIMIT:
                raise Error(f"{GALLERY}: {entry.filename} has {entry.file_size} bytes, at most {PICTURE_LIMIT}")
            self._entries[entry.filename] = entry

    def picture(self, name: str) -> bytes:
        """The bytes of a WebP picture; an Error where there is none."""
        entry = self._entries.get(f"{name}.webp")
        if entry is None:
            raise Error(f"{GALLERY} has no picture {name}")
        try:
            with self._archive.open(entry) as file:
                content = file.read(PICTURE_LIMIT + 1)
        except _BROKEN as error:
            raise Error(f"{GALLERY} cannot be read ({error}); compare again") from None
        if not _WEBP.match(content[:12]):
            raise Error(f"{GALLERY}: {entry.filename} is no WebP picture; compare again")
        return content


def _check_directory(path: Path) -> None:
    """An Error if the list of an archive's entries is longer than a gallery's can be: zipfile reads it whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END.size - _LOCATOR))
        end = file.read()
    large, end = end[: -_END.size], end[-_END.size :]
    if len(end) != _END.size or not end.startswith(b"PK\5\6"):
        raise Error(f"{GALLERY} cannot be read: it does not end as an archive does; compare again")
    *_, entries, size, _, _ = _END.unpack(end)
    if entries == 0xFFFF or large.startswith(b"PK\6\7") or size > DIRECTORY_LIMIT:
        raise Error(f"{GALLERY} has more pictures than can be shown, at most 65,534; the numbers are not touched by it")
