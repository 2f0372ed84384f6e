"""Turning a candidate down: it stays in the registry, with who and why, and is promoted by an override only."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import log
from destseg.registry.addresses import find
from destseg.registry.connection import account, candidates, connect, explained, log_model
from destseg.registry.history import released_versions, succession
from destseg.registry.listing import address
from destseg.registry.register import CHALLENGER
from destseg.text import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TAG = "turned_down"
EVENT = "turned-down"


@dataclass(frozen=True, kw_only=True)
class TurnedDown:
    """A candidate that a person did not want."""

    model_uri: str
    version: int
    who: str
    why: str
    when: str
    """ISO 8601, UTC."""
    created: bool
    """False when it had been turned down before."""

    def __str__(self) -> str:
        before = "" if self.created else " before"
        return f"{self.model_uri} was turned down{before} by {self.who}, {self.when}: {self.why}"


def turn_down(category: str, *, why: str, who: str | None = None, version: int | None = None) -> TurnedDown:
    """Marks the challenger, or candidate `version`, as not wanted; it is offered no more."""
    why, who = reason(why), account(who)
    rights = f"EDIT on the registered models {candidates(category)} and {log_model(category)}"
    with explained(f"turning a candidate of {category} down", rights=rights):
        client = connect()
        alias = CHALLENGER if version is None else None
        candidate = find(client, candidates(category), alias=alias, version=None if version is None else str(version))
        line = succession(released_versions(client, category))
        if line and line[-1].tags.get("candidate_version") == str(candidate.version):
            raise Error(
                f"candidate {candidate.version} of {category} is the champion, as version {line[-1].version}; "
                f"`destseg rollback {category}` takes it out of production"
            )
        if before := refusal(client, category, candidate):
            found = before
        else:  # the log first: a tag without its entry would have no author
            entry = log.append(client, category, event=EVENT, subject=address(candidate), content={}, why=why, who=who)
            found = _turned_down(candidate, entry.who, entry.why, entry.when, created=True)
        if TAG not in candidate.tags:
            said = {"who": found.who, "why": found.why, "when": found.when}
            client.set_model_version_tag(candidate.name, candidate.version, TAG, json.dumps(said))
        return found


def refusal(client: "MlflowClient", category: str, candidate: "ModelVersion") -> TurnedDown | None:
    """Who turned this candidate down, or None. By the log, else by its tag: no trainer can take either away."""
    for entry in log.read(client, category):
        if entry.event == EVENT and entry.subject == address(candidate):
            return _turned_down(candidate, entry.who, entry.why, entry.when)
    if TAG not in candidate.tags:
        return None
    try:
        said = json.loads(candidate.tags[TAG])
        return _turned_down(candidate, said["who"], said["why"], said["when"])
    except (ValueError, KeyError, TypeError):  # set by hand
        return _turned_down(candidate, "somebody", candidate.tags[TAG], "at a time that is not known")


def _turned_down(candidate: "ModelVersion", who: str, why: str, when: str, *, created: bool = False) -> TurnedDown:
    return TurnedDown(
        model_uri=address(candidate), version=int(candidate.version), who=who, why=why, when=when, created=created
    )
