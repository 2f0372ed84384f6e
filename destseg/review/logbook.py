"""The log of a category, as one account may read it."""

import datetime
from dataclasses import dataclass

from destseg.registry.connection import released
from destseg.registry.rest import Forbidden, Rest, Version
from destseg.review.standing import created

EVENTS = {
    "registered": "registered",
    "compared": "compared with the champion",
    "gates": "put through the gates",
    "promoting": "promotion",
    "rolling-back": "rollback",
    "turned-down": "turned down",
    "recalibrated": "proposed with another operating point",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One entry."""

    number: int
    when: datetime.datetime
    event: str
    who: str
    why: str
    subject: str
    hash: str


def entries(registry: Rest, category: str) -> list[Line]:
    """All entries, the newest first; none for who may not read them."""
    try:
        found = registry.versions(f"{released(category)}-log")
    except Forbidden:
        return []
    return [_line(version) for version in reversed(found)]


def _line(version: Version) -> Line:
    tags = version.tags
    event = tags.get("event", "")
    return Line(
        number=version.version,
        when=created(version),
        event=EVENTS.get(event, event),
        who=tags.get("who", ""),
        why=tags.get("why", ""),
        subject=tags.get("subject", ""),
        hash=tags.get("hash", ""),
    )
