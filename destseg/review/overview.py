"""All categories at a glance, from one answer of the registry."""

import datetime
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from destseg import Error
from destseg.registry.connection import candidates, released
from destseg.registry.history import CHAMPION, succession
from destseg.registry.register import CHALLENGER
from destseg.registry.rest import Model, Rest, Version
from destseg.review.standing import created, waits, whole


@dataclass(frozen=True, kw_only=True)
class Row:
    """One category."""

    category: str
    champion: Version | None
    challenger: Version | None
    """Only one that waits for a person."""

    @property
    def since(self) -> datetime.datetime | None:
        """When the champion became one."""
        return created(self.champion) if self.champion else None

    @property
    def waiting_since(self) -> datetime.datetime | None:
        """When the challenger was registered."""
        return created(self.challenger) if self.challenger else None

    @property
    def order(self) -> tuple[bool, float, str]:
        """Who waits longest comes first, then the others by name."""
        since = self.challenger.creation_timestamp if self.challenger else 0
        return self.challenger is None, since, self.category


def rows(registry: Rest) -> list[Row]:
    """Every category that the account may see, what waits longest first."""
    models = {model.name: model for model in registry.models()}
    names = {category for model in models.values() if (category := _category(model))}
    with ThreadPoolExecutor(8) as pool:  # after a rollback a category takes a request of its own
        found = list(pool.map(lambda category: _row(registry, category, models), names))
    return sorted(found, key=lambda row: row.order)


def matching(found: Iterable[Row], text: str, *, waiting: bool) -> list[Row]:
    """Those whose name holds `text`; with `waiting`, those with a challenger."""
    return [row for row in found if text.lower() in row.category.lower() and (row.challenger or not waiting)]


def _category(model: Model) -> str | None:
    """The category whose model this is; None for a log, or what somebody else named like ours."""
    category = model.tags.get("category", "")
    try:
        return category if model.name in (released(category), candidates(category)) else None
    except Error:
        return None


def _row(registry: Rest, category: str, models: dict[str, Model]) -> Row:
    ours, theirs = models.get(released(category)), models.get(candidates(category))
    champion = challenger = None
    line: list[Version] = []
    if ours is not None and ours.latest is not None:
        champion = ours.latest
        # The newest version is the champion, unless somebody was slower than another, or moved the alias by hand; and
        # after a rollback the candidates that were champions before are not known from it.
        if ours.aliases.get(CHAMPION) != champion.version or "restores" in champion.tags:
            line = succession(registry.versions(ours.name))
            champion = line[-1] if line else None
        else:
            line = [champion]
    if theirs is not None and theirs.latest is not None and theirs.latest.version == theirs.aliases.get(CHALLENGER):
        newest = theirs.latest
        tried = whole(champion.tags.get("candidate_version")) if champion else None
        if waits(newest, line) and newest.version > (tried or 0):
            challenger = newest
    return Row(category=category, champion=champion, challenger=challenger)
