"""Which model was the champion when, who made it so and why: read from the released versions themselves."""

import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from destseg.registry.connection import connect, explained, released
from destseg.registry.listing import versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

NOTHING = "none"  # `replaces` of the first champion


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
    candidate: int
    dataset_version: str
    metrics: dict[str, float]
    overridden: bool
    """Whether a gate had failed."""

    def __str__(self) -> str:
        former = f"in place of version {self.replaces}" if self.replaces else "the first"
        restored = f", restores version {self.restores}" if self.restores else ""
        override = ", although a gate had failed" if self.overridden else ""
        when = self.when.strftime("%Y-%m-%d %H:%M %Z")
        return f"version {self.version}  {when}  {self.who}  {former}{restored}{override}: {self.why}"


def history(category: str, *, at: datetime.date | None = None) -> list[Entry]:
    """The champions, oldest first; with `at` only those that were in production at some time of that day."""
    with explained(f"reading the history of {category}"):
        entries = [_entry(version) for version in succession(released_versions(connect(), category))]
    if at is None:
        return entries
    until = [*entries[1:], None]
    return [
        entry
        for entry, after in zip(entries, until, strict=True)
        if entry.when.date() <= at and (after is None or after.when.date() >= at)
    ]


def released_versions(client: "MlflowClient", category: str) -> "list[ModelVersion]":
    """Every version of the released model, oldest first."""
    return versions_of(client, released(category))


def succession(versions: "Iterable[ModelVersion]") -> "list[ModelVersion]":
    """The versions that count, in order: each names in `replaces` the champion before it, so that of several
    promotions at once one holds and the others do not."""
    line: list[ModelVersion] = []
    for version in versions:
        if version.tags.get("replaces") == (str(line[-1].version) if line else NOTHING):
            line.append(version)
    return line


def _entry(version: "ModelVersion") -> Entry:
    tags = version.tags
    return Entry(
        version=int(version.version),
        when=datetime.datetime.fromtimestamp(version.creation_timestamp / 1000).astimezone(),
        who=tags["who"],
        why=tags["why"],
        replaces=None if tags["replaces"] == NOTHING else int(tags["replaces"]),
        restores=int(tags["restores"]) if "restores" in tags else None,
        candidate=int(tags["candidate_version"]),
        dataset_version=tags["dataset_version"],
        metrics=json.loads(tags["metrics"]),
        overridden=tags.get("overridden") == "true",
    )
