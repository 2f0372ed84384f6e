"""Where photographs came from: the provenance records that git has at a commit, as `add` and `ingest` wrote them."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from destseg.dataset import provenance
from destseg.dataset.layout import check_category
from destseg.storage import versions
from destseg.text import printable

HEAD = "HEAD"
_COMMIT = re.compile(r"[0-9a-f]{40}|HEAD")


@dataclass(frozen=True, kw_only=True)
class Origins:
    """The records of a commit by SHA-256, and in `missing` why there are none."""

    records: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    missing: str = ""


def origins(root: Path, category: str, commit: str = HEAD) -> Origins:
    """The records of data/mvtec/<category>.provenance.jsonl at `commit` of the clone in `root`."""
    path = provenance.path(check_category(category)).as_posix()
    if not _COMMIT.fullmatch(commit):  # it comes from the registry, and git would take `--output=x` for an option
        return Origins(missing=f"{commit!r} is no commit")
    if versions.commit_of(root, commit) is None:
        return Origins(missing=f"{root.resolve()} has no commit {commit[:12]}; run `git fetch`, or this in a clone")
    if not versions.git(root, "ls-tree", commit, "--", path).strip():
        return Origins(missing=f"commit {commit[:12]} has no {path}")
    return Origins(records=_by_hash(versions.git(root, "show", f"{commit}:./{path}"), f"{path} of commit {commit}"))


def arrival(record: Mapping[str, Any]) -> str:
    """What a record says, for people: the keys of one from the inbox, time, line, camera."""
    about = [f"{name} {record[name]}" for name in ("line", "camera") if record.get(name)]
    when = moment(str(record.get("time") or record.get("modified") or "at an unknown time"))
    keys = [str(key) for key in record.get("keys", [])]
    if provenance.from_inbox([dict(record)]):
        return printable(f"as {', '.join([*keys, when, *about])}")
    again = [key for key in keys if key != record.get("name")]
    return printable(", ".join([f"with dataset add, file of {when}", *(f"again as {key}" for key in again)]))


def moment(text: str) -> str:
    """An ISO 8601 time to the second and, where it names its zone, in UTC; other text as it is."""
    try:
        when = datetime.datetime.fromisoformat(text)
        zone = " UTC" if when.tzinfo else ""
        when = when.astimezone(datetime.UTC) if zone else when
    except (ValueError, OverflowError):
        return text
    return f"{when:%Y-%m-%d %H:%M:%S}{zone}"


def _by_hash(text: str, where: str) -> dict[str, dict[str, Any]]:
    return {record["sha256"]: record for record in provenance.parsed(text, where)}
