"""The versions of a dataset, as git keeps them: when, how many images, who and why; and what changed between two."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.storage import versions

_SHOWN = 20  # names in the text of a diff


@dataclass(frozen=True, kw_only=True)
class Version:
    """One dataset version of a category."""

    version: str
    commit: str
    date: str
    """ISO 8601, when it was committed."""
    files: int
    """Images and masks."""
    who: str
    why: str
    """The first line of the commit's message."""

    def __str__(self) -> str:
        return f"{self.version}  {self.date[:16]}  {self.files:>6} files  {self.commit[:10]}  {self.who}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What came and went between two dataset versions, by name in the dataset's folder."""

    category: str
    old: Version
    new: Version
    came: tuple[str, ...]
    went: tuple[str, ...]
    moved: dict[str, str] = field(default_factory=dict)
    """The same content under another name: new name by old."""

    def __str__(self) -> str:
        counts = f"{len(self.came)} came, {len(self.went)} went, {len(self.moved)} moved"
        names = [f"  + {name}" for name in self.came[:_SHOWN]] + [f"  - {name}" for name in self.went[:_SHOWN]]
        names += [f"  {old} -> {new}" for old, new in sorted(self.moved.items())[:_SHOWN]]
        rest = len(self.came) + len(self.went) + len(self.moved) - len(names)
        more = [f"  and {rest} more (--json lists all)"] if rest else []
        return "\n".join([f"{self.category}: {self.old.version} to {self.new.version}: {counts}", *names, *more])


def history(category: str, root: Path = Path()) -> list[Version]:
    """The category's versions on the branch that is checked out, the newest first; an Error when there is none."""
    path = versions.pointer(check_category(category)).as_posix()
    said = versions.git(root, "log", "--format=%H%x00%cI%x00%an%x00%s", "--", path, timeout=600)
    found = []
    for line in said.splitlines():
        commit, date, who, why = line.split("\0")
        entry = versions.tracked(root, category, commit)
        if entry:
            known = {"version": str(entry.get("md5")), "files": int(entry.get("nfiles", 0))}
            found.append(Version(commit=commit, date=date, who=who, why=why, **known))  # type: ignore[arg-type]  # `known` has its other fields
    if not found:
        raise Error(f"git knows no version of {category!r} here (no commit of {path}); see `destseg dataset list`")
    return found


def diff(category: str, old: str | None = None, new: str | None = None, root: Path = Path()) -> Diff:
    """What changed from `old` to `new`: dataset versions, the first characters of one, or git revisions.

    Without `new`, to the newest version; without `old`, from the one before.
    """
    known = history(category, root)
    after = _find(category, new, known, root) if new else known[0]
    if old:
        before = _find(category, old, known, root)
    else:
        earlier = [one for one in known[known.index(after) :] if one.version != after.version]
        if not earlier:
            raise Error(f"{after.version} is the first version of {category!r}; expected one with a version before it")
        before = earlier[0]
    was, now = (versions.listing(root, category, one.commit) for one in (before, after))
    came = {name: md5 for name, md5 in now.items() if was.get(name) != md5}
    went = {name: md5 for name, md5 in was.items() if now.get(name) != md5}
    places = {md5: name for name, md5 in came.items()}
    moved = {name: places.pop(md5) for name, md5 in sorted(went.items()) if md5 in places}
    return Diff(
        category=category,
        old=before,
        new=after,
        came=tuple(sorted(came.keys() - set(moved.values()))),
        went=tuple(sorted(went.keys() - moved.keys())),
        moved=moved,
    )


def _find(category: str, wanted: str, known: list[Version], root: Path) -> Version:
    """By dataset version, else by git revision: the newest version that the revision holds."""
    found = [one for one in known if re.fullmatch(r"[0-9a-f]{4,32}(\.dir)?", wanted) and one.version.startswith(wanted)]
    if len({one.version for one in found}) > 1:
        raise Error(f"{wanted!r} begins more than one version of {category!r}: {', '.join(v.version for v in found)}")
    if not found:
        at = versions.commit_of(root, wanted)
        entry = versions.tracked(root, category, at) if at else {}
        found = [one for one in known if entry and one.version == entry["md5"]]
    if not found:
        raise Error(
            f"{wanted!r} is neither a version of {category!r} nor a git revision that has one; see dataset show"
        )
    return found[0]
