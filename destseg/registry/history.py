"""Which model was the champion when, who made it so and why: read from the released versions themselves.

The aliases that the line loads follow from them, and are put right by whoever reads and may do so.
"""

import datetime
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from destseg.registry import log
from destseg.registry.connection import connect, explained, forbidden, released
from destseg.registry.listing import Versioned, versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

AnyVersion = TypeVar("AnyVersion", bound=Versioned)
NOTHING = "none"  # `replaces` of the first champion
CHAMPION = "champion"
PREVIOUS = "previous"
UNKNOWN = "not stated"  # of a version that was made by hand
REPAIRED = "alias-repaired"  # the entry of the log


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One champion."""

    version: int
    when: datetime.datetime
    """In this machine's time zone."""
    who: str
    why: str
    replaces: int | None
    restores: int | None
    """The former champion that a rollback brought back."""
    candidate: int | None
    """None for a version that was made by hand."""
    dataset_version: str
    metrics: dict[str, float]
    overridden: bool
    """Whether a gate had failed, or the candidate had been turned down."""

    def __str__(self) -> str:
        former = f"in place of version {self.replaces}" if self.replaces else "the first"
        restored = f", restores version {self.restores}" if self.restores else ""
        override = ", by override" if self.overridden else ""
        when = self.when.strftime("%Y-%m-%d %H:%M %Z")
        return f"version {self.version}  {when}  {self.who}  {former}{restored}{override}: {self.why}"


def history(category: str, *, at: datetime.date | None = None) -> list[Entry]:
    """The champions, oldest first; with `at` only those that were in production at some time of that day."""
    with explained(f"reading the history of {category}"):
        entries = [_entry(version) for version in _settled(connect(), category)]
    if at is None:
        return entries
    until = [*entries[1:], None]
    return [
        entry
        for entry, after in zip(entries, until, strict=True)
        if entry.when.date() <= at and (after is None or after.when.date() >= at)
    ]


def logged(category: str) -> list[log.Entry]:
    """Every entry of the category's log, oldest first."""
    with explained(f"reading the log of {category}"):
        return log.read(connect(), category)


def released_versions(client: "MlflowClient", category: str) -> "list[ModelVersion]":
    """Every version of the released model, oldest first."""
    return versions_of(client, released(category))


def succession(versions: Iterable[AnyVersion]) -> list[AnyVersion]:
    """The versions that count, in order: each names in `replaces` the champion before it, so that of several
    promotions at once one holds and the others do not. A champion that was deleted leaves its successors in place."""
    known = list(versions)
    numbers = {int(version.version) for version in known}
    line: list[AnyVersion] = []
    for version in known:
        replaces, last = version.tags.get("replaces", ""), int(line[-1].version) if line else 0
        deleted = replaces.isdecimal() and last < int(replaces) < int(version.version) and int(replaces) not in numbers
        if replaces == (str(last) if line else NOTHING) or deleted:
            line.append(version)
    return line


def former(line: Sequence[AnyVersion]) -> AnyVersion | None:
    """What a rollback brings back: the champion before; one that a rollback made counts as the one it restored."""
    by_number = {str(version.version): version for version in line}
    version, seen = line[-1] if line else None, set()
    while version is not None and "restores" in version.tags and version.version not in seen:
        seen.add(version.version)
        version = by_number.get(version.tags["restores"])
    return None if version is None else by_number.get(version.tags.get("replaces", NOTHING))


def aliases_of(line: Sequence[Versioned]) -> dict[str, str]:
    """Where the aliases belong, by the champions in order."""
    return {
        alias: str(version.version) for alias, version in zip((CHAMPION, PREVIOUS), reversed(line[-2:]), strict=False)
    }


def settle(client: "MlflowClient", category: str, *, created: "ModelVersion | None" = None) -> "list[ModelVersion]":
    """The champions in order; moves aliases that are not where they belong.

    Unless the caller has just `created` the champion, the log is told: a hand moved one, or a promotion was cut short.
    """
    name = released(category)
    line = succession(released_versions(client, category))
    while line:
        found = {alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()}
        # Read after the aliases, and again after they were moved: another one may have promoted meanwhile.
        line = succession(released_versions(client, category))
        moved = {alias: number for alias, number in aliases_of(line).items() if found.get(alias) != number}
        if not moved:
            break
        for alias, number in moved.items():
            client.set_registered_model_alias(name, alias, number)
        if created is None or created.version != line[-1].version:
            log.append(
                client,
                category,
                event=REPAIRED,
                subject=f"models:/{name}/{line[-1].version}",
                content={alias: {"from": found.get(alias, NOTHING), "to": number} for alias, number in moved.items()},
                why="not where the released versions put it: moved by hand, or a promotion was cut short",
            )
    return line


def _settled(client: "MlflowClient", category: str) -> "list[ModelVersion]":
    """The champions in order; their aliases put right, if this account may do so."""
    from mlflow.exceptions import MlflowException

    try:
        return settle(client, category)
    except MlflowException as error:
        if not forbidden(error):
            raise
        return succession(released_versions(client, category))


def _entry(version: "ModelVersion") -> Entry:
    tags = version.tags
    return Entry(
        version=int(version.version),
        when=datetime.datetime.fromtimestamp(version.creation_timestamp / 1000).astimezone(),
        who=tags.get("who", UNKNOWN),
        why=tags.get("why", UNKNOWN),
        replaces=None if tags["replaces"] == NOTHING else int(tags["replaces"]),
        restores=int(tags["restores"]) if "restores" in tags else None,
        candidate=int(tags["candidate_version"]) if "candidate_version" in tags else None,
        dataset_version=tags.get("dataset_version", UNKNOWN),
        metrics=json.loads(tags.get("metrics", "{}")),
        overridden=tags.get("overridden") == "true",
    )
