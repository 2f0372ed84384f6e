"""Templates: every text is escaped, a missing value is an error, and nothing is written inline into a page."""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from destseg import __version__
from destseg.model.named import NETWORK, teacher_in_words
from destseg.review.comparison import text_tags
from destseg.review.desk import Desk
from destseg.review.sessions import Session

NARROW_SPACE = "\u202f"


def page(
    request: Request, template: str, *, session: Session | None = None, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """A template with what all of them need: who is signed in, the token of forms, whether there are accounts."""
    desk: Desk = request.app.state.desk
    now = datetime.datetime.now().astimezone()
    text = TEMPLATES.get_template(template).render(
        desk=desk, session=session, fragment="hx-request" in request.headers, release=__version__, now=now, **values
    )
    return HTMLResponse(text, status_code, headers={"Vary": "HX-Request"})


def share(value: float | None) -> str:
    """
    >>> share(0.0125), share(0.5), share(0.0), share(None)
    ('1.25\\u202f%', '50\\u202f%', '0\\u202f%', '–')
    """
    return "–" if value is None else f"{100 * value:.3g}{NARROW_SPACE}%"


def number(value: float | None) -> str:
    """
    >>> number(0.98765), number(None)
    ('0.9877', '–')
    """
    return "–" if value is None else f"{value:.4f}"


def signed(value: float | None) -> str:
    """
    >>> signed(0.0125), signed(-0.5), signed(0.0)
    ('+0.0125', '−0.5000', '0.0000')
    """
    if value is None:
        return "–"
    text = f"{value:+.4f}"
    return "0.0000" if float(text) == 0 else text.replace("-", "−")


def score(value: float) -> str:
    """A threshold or a score, which have no common scale."""
    return f"{value:.4g}"


def clock(time: datetime.datetime) -> str:
    """
    >>> clock(datetime.datetime(2026, 3, 1, 9, 5))
    '1 March 2026, 09:05'
    """
    return f"{time.day} {time:%B %Y, %H:%M}"


def day(time: datetime.datetime) -> str:
    """
    >>> day(datetime.datetime(2026, 3, 1))
    '1 March 2026'
    """
    return f"{time.day} {time:%B %Y}"


def ago(time: datetime.datetime) -> str:
    """How long ago, in the largest unit that is whole."""
    seconds = max(0.0, (datetime.datetime.now().astimezone() - time).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count != 1)}"
    return "less than a minute"


def parsed(text: str) -> datetime.datetime | None:
    """A time in ISO 8601, in this machine's time zone; None if it is none."""
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):  # the latter at the edges of the calendar
        return None


def sentence(text: str) -> str:
    """An error's text as a sentence of its own.

    >>> sentence("the form cannot be read"), sentence("models:/x/1 is not there.")
    ('The form cannot be read.', 'models:/x/1 is not there.')
    """
    first = text[:1].upper() + text[1:] if ":/" not in text.partition(" ")[0] else text
    return first if first.endswith((".", "!", "?", "…")) else f"{first}."


def setting(value: object) -> str:
    """The value of a setting as params.yaml would have it."""
    return "not set" if value is None else value if isinstance(value, str) else json.dumps(value)


def teacher(known: Mapping[str, str] | str | None) -> str:
    """Source, backbone and licence of a teacher, given as a comparison or as the tag of a version has it."""
    return teacher_in_words(known if isinstance(known, Mapping) else text_tags(known))


def plural(count: int, word: str, many: str = "") -> str:
    """
    >>> plural(1, "defect"), plural(3, "defect")
    ('1 defect', '3 defects')
    """
    return f"{count:,} {word if count == 1 else many or word + 's'}"


TEMPLATES = Environment(
    loader=PackageLoader("destseg.review", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals["NETWORK"] = NETWORK  # of versions from before it was recorded
TEMPLATES.filters |= {
    "share": share,
    "number": number,
    "signed": signed,
    "score": score,
    "clock": clock,
    "day": day,
    "ago": ago,
    "parsed": parsed,
    "sentence": sentence,
    "setting": setting,
    "plural": plural,
    "teacher": teacher,
}
