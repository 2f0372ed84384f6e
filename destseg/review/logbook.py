"""The log of a category, as one account may read it."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from destseg.registry import log
from destseg.registry.connection import log_model
from destseg.registry.log import Entry
from destseg.registry.register import REGISTERED
from destseg.registry.rest import Forbidden, Rest
from destseg.registry.turn_down import EVENT as TURNED_DOWN

EVENTS = {
    "begun": "log begun",
    REGISTERED: "registered",
    "compared": "compared with the champion",
    "gates": "gates run after a retraining",
    "blocked": "promotion stopped by the gates",
    "promoting": "promotion decided",
    "promoted": "promoted",
    "rolling-back": "rollback decided",
    "rolled-back": "rolled back",
    TURNED_DOWN: "turned down",
    "alias-repaired": "alias put right",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry in a person's words."""

    entry: Entry

    @property
    def event(self) -> str:
        """What was done."""
        return EVENTS.get(self.entry.event, self.entry.event)

    @property
    def when(self) -> datetime.datetime | None:
        """In this machine's time zone, by the clock of whoever wrote it."""
        try:
            return datetime.datetime.fromisoformat(self.entry.when).astimezone()
        except (ValueError, OverflowError):  # the latter at the edges of the calendar
            return None


def entries(registry: Rest, category: str) -> list[Line]:
    """All entries, oldest first, one that a repeated request wrote twice once; none for who may not read them."""
    try:
        return [Line(entry=entry) for entry in log.entries(registry.versions(log_model(category)))]
    except Forbidden:
        return []


def refusal(lines: Sequence[Line], subject: str) -> Line | None:
    """Who turned this candidate down. Its tag says so too, but who trains could take that away."""
    return next((line for line in lines if line.entry.event == TURNED_DOWN and line.entry.subject == subject), None)


def registration(lines: Sequence[Line], subject: str) -> Line | None:
    """Who registered this candidate and why: of one with another operating point, the reason that was given."""
    return next((line for line in lines if line.entry.event == REGISTERED and line.entry.subject == subject), None)
