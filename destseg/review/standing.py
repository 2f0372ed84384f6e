"""How a category stands, as one account may see it: its champions in order, its candidates, what waits for a person."""

import datetime
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from destseg import Error
from destseg.registry.connection import candidates, released
from destseg.registry.gates import Gate
from destseg.registry.history import CHAMPION, former, succession
from destseg.registry.register import CHALLENGER
from destseg.registry.rest import Absent, Forbidden, Model, Rest, Version
from destseg.review.logbook import Line, entries, refusal


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A category."""

    category: str
    line: Sequence[Version]
    """The released versions that count, oldest first: the last is the champion."""
    candidates: Sequence[Version]
    challenger: Version | None
    alias: int | None
    """The version that the alias `champion` names."""
    log: Sequence[Line]
    """Every entry, oldest first."""

    @property
    def champion(self) -> Version | None:
        """What the line loads."""
        return self.line[-1] if self.line else None

    @property
    def former(self) -> Version | None:
        """What a rollback would bring back."""
        return former(self.line)

    @property
    def waits(self) -> bool:
        """Whether the challenger waits for a person."""
        return self.challenger is not None and self.is_open(self.challenger)

    def is_open(self, version: Version) -> bool:
        """Whether nothing is decided about this candidate."""
        return waits(version, self.line) and refusal(self.log, version.address) is None

    def released(self, number: int) -> Version | None:
        """The last champion that this candidate became; None if it never was one."""
        made = [version for version in self.line if version.tags.get("candidate_version") == str(number)]
        return made[-1] if made else None

    def candidate(self, number: int) -> Version:
        """The candidate with this number."""
        for version in self.candidates:
            if version.version == number:
                return version
        raise Absent(f"{self.category} has no candidate {number} that you may see")


def waits(candidate: Version, line: Sequence[Version]) -> bool:
    """Whether it is neither released nor turned down nor superseded."""
    was_released = any(version.tags.get("candidate_version") == str(candidate.version) for version in line)
    return not was_released and not {"turned_down", "superseded_by"} & candidate.tags.keys()


def standing(registry: Rest, category: str) -> Standing:
    """The category, by some requests at once; an Error where the account may read neither of its models."""
    with ThreadPoolExecutor(5) as pool:
        versions = [pool.submit(registry.versions, name(category)) for name in (released, candidates)]
        log = pool.submit(entries, registry, category)
        models = [pool.submit(_model, registry, name(category)) for name in (released, candidates)]
    if (models[0].result(), models[1].result()) == (None, None):
        raise Absent(f"there is no category {category} that you may see")
    line, known = (found.result() for found in versions)
    aliases = [found.aliases if (found := model.result()) else {} for model in models]
    number = aliases[1].get(CHALLENGER)
    return Standing(
        category=category,
        line=succession(line),
        candidates=known,
        challenger=next((version for version in known if version.version == number), None),
        alias=aliases[0].get(CHAMPION),
        log=log.result(),
    )


def _model(registry: Rest, name: str) -> Model | None:
    try:
        return registry.model(name)
    except (Absent, Forbidden):
        return None


def gates(tags: Mapping[str, str]) -> list[Gate] | None:
    """The gates as the version's tag tells them; None where it tells none."""
    try:
        rows = json.loads(tags.get("gates", "null"))
        return None if rows is None else [_gate(row) for row in rows]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Error(f"the tag `gates` is not what destseg writes ({error!r}); run the gates again") from None


def _gate(row: Mapping[str, Any]) -> Gate:
    text = {key: str(row[key]) for key in ("name", "measured", "limit", "why")}
    return Gate(**text, passed=row["passed"] is True)


def created(version: Version) -> datetime.datetime:
    """When it was created, in this machine's time zone."""
    return datetime.datetime.fromtimestamp(version.creation_timestamp / 1000).astimezone()


def whole(text: str | None) -> int | None:
    """A number from a tag; None where there is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
