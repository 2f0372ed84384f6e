"""A category's log: what was done with its models, each entry a version of a registered model of its own.

An entry names the hashes of all entries that none before it has named. So whoever writes needs no turn, of several at
once none is lost, and no entry but the newest can be changed or deleted without its hash being missed.
"""

import datetime
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from destseg import Error
from destseg.registry.connection import account, ensure_model, explained, log_model
from destseg.registry.listing import Versioned, newest, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTHING = "none"  # `previous` of the first entry
# An entry has no files, but MLflow wants a source: a scheme that it does not know is neither checked nor ever fetched.
SOURCE = "destseg-log:/"
# Writers at once that are sure to be named by the next one: its request to see them is one page of MLflow's.
WINDOW = 1000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry, as it stands there now."""

    number: int
    """Version of the log's registered model."""
    when: str
    """ISO 8601, UTC, by the clock of whoever wrote it."""
    event: str
    who: str
    why: str
    subject: str
    """models:/NAME/VERSION of what it is about."""
    content: dict[str, Any]
    previous: tuple[str, ...]
    """Hashes of the entries that no earlier one has named."""
    hash: str
    sound: bool
    """Whether the hash fits all the rest."""
    computed: str

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        changed = "" if self.sound else "  (changed since it was written)"
        return f"entry {self.number}  {self.when}  {self.who}  {self.event} {self.subject}{why}{changed}"


def append(
    client: "MlflowClient",
    category: str,
    *,
    event: str,
    subject: str,
    content: Mapping[str, Any],
    why: str = "",
    who: str | None = None,
) -> Entry:
    """Writes an entry in one call, after all that are there; its `hash` belongs into the tags of its subject."""
    name = log_model(category)
    with explained(f"writing to the log of {category}", rights=f"EDIT on the registered model {name}"):
        ensure_model(client, name, category)
        tags = {
            "event": event,
            "who": who or _account(),
            "why": why,
            "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "subject": subject,
            "content": canonical(content),
            "previous": " ".join(_open(map(entry, newest(client, name, WINDOW)))) or NOTHING,
            "id": uuid.uuid4().hex,  # two entries are never the same
        }
        tags = {key: value for key, value in tags.items() if value}
        tags["hash"] = _hash(tags)
        return entry(client.create_model_version(name, f"{SOURCE}{category}", tags=tags))


def read(client: "MlflowClient", category: str) -> list[Entry]:
    """Every entry, oldest first; one that a repeated request wrote twice, once."""
    return entries(versions_of(client, log_model(category)))


def entries(versions: Iterable[Versioned]) -> list[Entry]:
    """The entries that these versions of the log's registered model are, each once."""
    found: dict[str, Entry] = {}
    for one in map(entry, versions):
        found.setdefault(one.hash, one)
    return list(found.values())


def entry(version: Versioned) -> Entry:
    """The entry that this version of the log's registered model is; one that was made by hand is not sound."""
    tags = version.tags
    previous = tags.get("previous", NOTHING)
    computed = _hash(tags)
    return Entry(
        number=int(version.version),
        when=tags.get("when", ""),
        event=tags.get("event", ""),
        who=tags.get("who", ""),
        why=tags.get("why", ""),
        subject=tags.get("subject", ""),
        content=_content(tags.get("content", "")),
        previous=() if previous == NOTHING else tuple(previous.split()),
        hash=tags.get("hash", ""),
        sound=tags.get("hash") == computed,
        computed=computed,
    )


def canonical(content: Mapping[str, Any]) -> str:
    """The one JSON text of this content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def fingerprints(tags: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each tag's value: what an entry keeps of the tags of a version, some of which are long."""
    return {key: hashlib.sha256(value.encode()).hexdigest() for key, value in sorted(tags.items())}


def _account() -> str:
    try:
        return account()
    except Error:  # a training in a container whose user has no name
        return "nobody who is known"


def _open(entries: Iterable[Entry]) -> list[str]:
    """The hashes that no entry names yet, oldest first; of one that was changed, the hash that it has now."""
    known = sorted(entries, key=lambda one: one.number)
    named = {name for one in known for name in one.previous}
    hashes = [one.hash or one.computed for one in known if not {one.hash, one.computed} & named]
    return list(dict.fromkeys(hashes))


def _hash(tags: Mapping[str, str]) -> str:
    """SHA-256 of all of an entry's tags but `hash`."""
    content = {key: value for key, value in tags.items() if key != "hash"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def _content(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
