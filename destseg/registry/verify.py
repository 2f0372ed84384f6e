"""Whether log, versions, aliases and files are as they were made: what was deleted, edited or moved by hand."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from destseg import Error
from destseg.registry import log, turn_down
from destseg.registry.comparison import COMPARED, TAG
from destseg.registry.connection import candidates, connect, explained, log_model, released, shown
from destseg.registry.history import CHAMPION, PREVIOUS, REPAIRED, aliases_of, succession
from destseg.registry.listing import address, versions_of
from destseg.registry.promotion import PROMOTED, PROMOTING, ROLLED_BACK, ROLLING_BACK
from destseg.registry.register import LATER, LOG_TAG, REGISTERED
from destseg.registry.stored import stored

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NO_ENTRY = "its entry is not in the log: deleted or changed"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it was made (error), or that a reader should know (note)."""

    severity: Literal["error", "note"]
    about: str
    """models:/NAME, with /VERSION or @ALIAS where it is one."""
    text: str

    def __str__(self) -> str:
        return f"{self.severity}  {self.about}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was looked at, and every finding."""

    category: str
    entries: int
    """Of the log."""
    versions: int
    """Of the released model, those that do not count included."""
    files: bool
    """Whether the files were downloaded and compared."""
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """What must not be."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def __str__(self) -> str:
        files = "files compared" if self.files else "files not compared"
        state = f"{len(self.errors)} errors" if self.errors else "in order"
        looked = f"{self.category}: {self.entries} entries, {self.versions} released versions, {files}: {state}"
        return "\n".join([looked, *(f"  {finding}" for finding in self.findings)])


def verify(category: str, *, files: bool = False) -> Verified:
    """Looks at everything and repairs nothing; with `files` every released model is downloaded anew."""
    with explained(f"verifying the history of {category}"):
        registry = _Registry.read(connect(), category)
        if not (registry.entries or registry.released or registry.candidates):
            raise Error(f"nothing of {category} is in the registry at {shown()}: no log, no candidate, no release")
        findings = [
            *_log(registry),
            *_released(registry),
            *_intents(registry),
            *_aliases(registry),
            *_candidates(registry),
            *(_files(registry) if files else ()),
        ]
    return Verified(
        category=category,
        entries=len(registry.entries),
        versions=len(registry.released),
        files=files,
        findings=tuple(findings),
    )


@dataclass(frozen=True, kw_only=True)
class _Registry:
    """All that is known of a category, read once."""

    category: str
    entries: "list[log.Entry]"
    begun: int | None
    """When the first entry was written, in MLflow's milliseconds."""
    released: "list[ModelVersion]"
    candidates: "list[ModelVersion]"
    aliases: Mapping[str, str]
    line: "list[ModelVersion]" = field(default_factory=list)
    by_hash: "Mapping[str, log.Entry]" = field(default_factory=dict)

    @classmethod
    def read(cls, client: "MlflowClient", category: str) -> "_Registry":
        written = versions_of(client, log_model(category))
        entries = [log.entry(version) for version in written]
        versions = versions_of(client, released(category))
        return cls(
            category=category,
            entries=entries,
            begun=min((version.creation_timestamp for version in written), default=None),
            released=versions,
            candidates=versions_of(client, candidates(category)),
            aliases=dict(client.get_registered_model(released(category)).aliases) if versions else {},
            line=succession(versions),
            by_hash={name: entry for entry in reversed(entries) for name in (entry.computed, entry.hash)},
        )

    def entry_of(self, version: "ModelVersion") -> log.Entry | None:
        return self.by_hash.get(version.tags.get(LOG_TAG, ""))

    def older(self, version: "ModelVersion") -> bool:
        """Whether it was made before there was a log."""
        return self.begun is None or version.creation_timestamp < self.begun


def _log(registry: _Registry) -> Iterator[Finding]:
    name = f"models:/{log_model(registry.category)}"
    yield from _gaps(name, (entry.number for entry in registry.entries), "error")
    known: set[str] = set()
    for entry in registry.entries:
        about = f"{name}/{entry.number}"
        if not entry.sound:
            yield Finding(
                severity="error", about=about, text="its hash does not fit the rest: changed, or made by hand"
            )
        if missing := [one for one in entry.previous if one not in known]:
            text = f"follows an entry {', '.join(one[:12] for one in missing)} that is not there: deleted or changed"
            yield Finding(severity="error", about=about, text=text)
        known |= {entry.hash, entry.computed}
        if entry.event == REPAIRED:
            yield Finding(severity="note", about=about, text=f"{entry.when}: {_moves(entry)}, {entry.why}")


def _moves(entry: log.Entry) -> str:
    """Which aliases were put right: `champion from version 2 to 3`."""
    moves = ((alias, move) for alias, move in entry.content.items() if isinstance(move, dict))
    return ", ".join(f"{alias} from version {move.get('from')} to {move.get('to')}" for alias, move in moves)


def _released(registry: _Registry) -> Iterator[Finding]:
    yield from _gaps(f"models:/{released(registry.category)}", map(_number, registry.released), "error")
    counting = {version.version for version in registry.line}
    used: dict[str, str] = {}
    for version in registry.released:
        about, entry = address(version), registry.entry_of(version)
        counts = version.version in counting
        if not counts:
            text = f"does not count: version {version.tags.get('replaces')}, which it replaces, was not the champion"
            yield Finding(severity="note", about=about, text=text)
        if LOG_TAG not in version.tags:
            old = registry.older(version)
            text = "older than the log" if old else "has no entry in the log: made by hand"
            yield Finding(severity="note" if old else "error", about=about, text=text)
        elif entry is None or entry.event not in (PROMOTING, ROLLING_BACK):
            yield Finding(severity="error", about=about, text=NO_ENTRY)
        else:
            yield from _tags(version, entry, ignored=(LOG_TAG,), closed=True)
            if counts and used.setdefault(entry.hash, about) != about:
                text = f"has the same entry as {used[entry.hash]}: one of them was made by hand"
                yield Finding(severity="error", about=about, text=text)


def _intents(registry: _Registry) -> Iterator[Finding]:
    """Entries that say what was to be released, or was, and the versions that should be there for them."""
    name = f"models:/{released(registry.category)}"
    there = {address(version) for version in registry.released}
    known = {version.tags.get(LOG_TAG) for version in registry.released}
    done = {str(entry.content.get("intent")) for entry in registry.entries}  # str: made by hand, it may be a list
    for entry in registry.entries:
        about = f"models:/{log_model(registry.category)}/{entry.number}"
        if entry.event in (PROMOTED, ROLLED_BACK) and entry.subject not in there:
            text = f"says that {entry.subject} was released, which is not there: deleted"
            yield Finding(severity="error", about=about, text=text)
        if entry.event in (PROMOTING, ROLLING_BACK):
            replaced = entry.content.get("replaces")
            if replaced != log.NOTHING and f"{name}/{replaced}" not in there:
                text = f"replaces version {replaced}, which is not there: deleted"
                yield Finding(severity="error", about=about, text=text)
            if not {entry.hash, entry.computed} & (known | done):
                text = f"{entry.event} {entry.subject} by {entry.who}, {entry.when}, was not carried out: "
                text += "refused to that account, or cut short"
                yield Finding(severity="note", about=about, text=text)


def _aliases(registry: _Registry) -> Iterator[Finding]:
    name = f"models:/{released(registry.category)}"
    right = aliases_of(registry.line)
    for alias in (CHAMPION, PREVIOUS):
        found, expected = registry.aliases.get(alias), right.get(alias)
        if found is None and expected is None:
            continue
        if str(found) != expected:
            text = (
                f"is at version {found or 'none'}, belongs at {expected or 'none'}: moved by hand, or a promotion was "
                f"cut short; `destseg history {registry.category}` puts it right"
            )
            yield Finding(severity="error", about=f"{name}@{alias}", text=text)
    for alias in sorted(set(registry.aliases) - {CHAMPION, PREVIOUS}):
        text = f"set by hand, at version {registry.aliases[alias]}; nothing of destseg reads it"
        yield Finding(severity="note", about=f"{name}@{alias}", text=text)


def _candidates(registry: _Registry) -> Iterator[Finding]:
    yield from _gaps(f"models:/{candidates(registry.category)}", map(_number, registry.candidates), "note")
    refused = {entry.subject: entry for entry in reversed(registry.entries) if entry.event == turn_down.EVENT}
    compared = {(one.subject, log.canonical(one.content)) for one in registry.entries if one.event == COMPARED}
    for version in registry.candidates:
        about, entry = address(version), registry.entry_of(version)
        down = refused.get(about)
        if down is None and turn_down.TAG in version.tags:
            text = f"was turned down by its tag {turn_down.TAG} alone: made by hand"
            yield Finding(severity="error", about=about, text=text)
        elif down is not None and turn_down.TAG not in version.tags:  # what counts is the log
            text = (
                f"was turned down by {down.who}, entry {down.number} of the log, but has no tag {turn_down.TAG}: cut "
                f"short, or deleted by hand; repeat `destseg turn-down {registry.category} --version {version.version}`"
            )
            yield Finding(severity="note", about=about, text=text)
        tag = version.tags.get(TAG)
        if tag is not None and (about, _canonical(tag)) not in compared and not registry.older(version):
            text = f"its tag {TAG} is in no entry of the log: made by hand"
            yield Finding(severity="error", about=about, text=text)
        if entry is not None and entry.event == REGISTERED and entry.subject == about:
            yield from _tags(version, entry, ignored=LATER, closed=False)
        elif LOG_TAG in version.tags:
            yield Finding(severity="error", about=about, text=NO_ENTRY)
        else:
            old = "older than the log" if registry.older(version) else "made by hand, or its registration was cut short"
            yield Finding(severity="note", about=about, text=f"has no entry in the log: {old}")


def _canonical(tag: str) -> str:
    """The tag as an entry would have it; as it is, if it is none that destseg wrote."""
    try:
        return log.canonical(json.loads(tag))
    except ValueError:
        return tag


def _files(registry: _Registry) -> Iterator[Finding]:
    compared: dict[str, str | None] = {}  # a rollback releases the same files again
    for version in registry.released:
        place = f"{version.source} {version.tags.get('files')} {version.tags.get('evidence')} {version.run_id}"
        if place not in compared:
            compared[place] = stored(version)
        if wrong := compared[place]:
            yield Finding(severity="error", about=address(version), text=wrong)


def _tags(version: "ModelVersion", entry: log.Entry, *, ignored: Iterable[str], closed: bool) -> Iterator[Finding]:
    """Tags that are not as their entry says; with `closed` also those that it does not name."""
    written = entry.content.get("tags")
    if not isinstance(written, dict):  # an entry that was made by hand, with a hash that fits
        text = f"entry {entry.number} of the log does not say with which tags it was made: made by hand"
        yield Finding(severity="error", about=address(version), text=text)
        return
    found = log.fingerprints({key: value for key, value in version.tags.items() if key not in ignored})
    names = {*written, *found} if closed else {*written}
    if wrong := sorted(key for key in names if found.get(key) != written.get(key)):
        text = f"not as entry {entry.number} of the log says: tag {', '.join(wrong)}"
        yield Finding(severity="error", about=address(version), text=text)


def _gaps(name: str, numbers: Iterable[int], severity: Literal["error", "note"]) -> Iterator[Finding]:
    """MLflow gives no number twice, so that a missing one was deleted."""
    there = set(numbers)
    if missing := sorted(set(range(1, max(there, default=0))) - there):
        text = f"version {', '.join(map(str, missing))} is missing: deleted"
        yield Finding(severity=severity, about=name, text=text)


def _number(version: "ModelVersion") -> int:
    return int(version.version)
