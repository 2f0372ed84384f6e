"""Collects from the shared DVC cache what no commit names, such as the outputs of old runs. The remote keeps all."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from destseg import Error
from destseg.storage import versions
from destseg.storage.memo import cache
from destseg.storage.process import ProcessError, run
from destseg.storage.sharing import collecting

_GC = str(Path(__file__).with_name("gc.py"))
_UNUSED = re.compile(r"^Removing (.+)$", re.MULTILINE)
_SECONDS = 4 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a collection removed, or would remove."""

    in_use: bool
    """Whether a run works with the cache; nothing was looked at then."""
    dry: bool
    objects: int = 0
    bytes: int = 0
    kept: int = 0
    """Objects that a commit or a project uses."""

    def __str__(self) -> str:
        if self.in_use:
            return "the DVC cache is in use; nothing was collected"
        verb = "would be removed" if self.dry else "removed"
        return f"{self.objects} unused objects {verb} ({self.bytes / 1e6:.1f} MB), {self.kept} kept"


def collect(root: Path, *, projects: Sequence[Path] = (), dry: bool = True) -> Collected:
    """Removes from $DESTSEG_CACHE/dvc what neither a commit of the clone `root` nor one of `projects` names.

    `root` is a fresh clone whose cache that is (versions.use_cache); `projects` are other clones on the same cache,
    with what stands in their dvc.lock. Nothing is taken from the remote, and nothing at all while a run uses the cache.
    """
    _check(root)
    with collecting(cache()) as alone:
        if not alone:
            return Collected(in_use=True, dry=dry)
        before = _objects()
        names = [str(project.resolve()) for project in projects]
        try:
            output = run([sys.executable, "-I", _GC, "dry" if dry else "now", *names], cwd=root, timeout=_SECONDS)
        except ProcessError as error:
            raise Error(
                f"nothing was collected from {cache() / 'dvc'}: DVC could not say what is in use "
                f"({error.tail.splitlines()[-1] if error.tail else 'no reason given'})"
            ) from error
        if dry:
            gone = {Path(path) for path in _UNUSED.findall(output)} & before.keys()
        else:
            gone = before.keys() - _objects().keys()
    return Collected(
        in_use=False, dry=dry, objects=len(gone), bytes=sum(before[path] for path in gone), kept=len(before) - len(gone)
    )


def _check(root: Path) -> None:
    """An Error unless `root` is a whole, clean clone on the shared cache: else it would not name all that is used."""
    if not versions.is_clean(root):
        raise Error(f"{root} has changed files; expected a fresh clone")
    if versions.git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise Error(f"{root} lacks the older commits; expected a whole clone: `git fetch --unshallow`")
    used = Path(versions.dvc(root, "cache", "dir", timeout=60).strip().splitlines()[-1])
    if (root / used).resolve() != (cache() / "dvc").resolve():
        raise Error(f"the DVC cache of {root} is {used}, expected {cache() / 'dvc'}: set it with versions.use_cache")


def _objects() -> dict[Path, int]:
    """Size of every object, by its path."""
    folder = (cache() / "dvc").resolve() / "files/md5"
    return {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
