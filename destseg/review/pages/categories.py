"""The first page: every category, what waits longest first."""

import contextlib
import threading
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from destseg import Error
from destseg.review.overview import Row, matching, rows
from destseg.review.pages.session import SignedIn
from destseg.review.render import page
from destseg.review.sessions import Session

router = APIRouter()
KEY = "overview"
FRESH = 10.0  # seconds for which an answer is shown as it is
KEPT = (
    24 * 3600.0
)  # for which it is shown at first, while a new one is read: the registry takes a second for 200 categories
Text = Annotated[str, Query(max_length=100)]


def overview(session: Session, seconds: float = FRESH) -> list[Row] | None:
    """All rows, read anew when they are older; None when the registry does not answer, for a thread of its own."""
    with contextlib.suppress(Error):
        return session.overview.get(KEY, seconds, lambda: rows(session.registry))
    return None


@router.get("/")
def categories(request: Request, session: SignedIn, q: Text = "", waiting: bool = False) -> Response:
    """At once: with the rows as the account saw them last, or with none; those of now then come by themselves."""
    age = session.overview.age(KEY)
    known = session.overview.known(KEY) if age is not None and age <= KEPT else None
    if age is None or age > FRESH:
        threading.Thread(target=overview, args=(session,), daemon=True).start()
    return _page(request, session, "categories.html", known, q, waiting, complete=age is not None and age <= FRESH)


@router.get("/rows")
def table(request: Request, session: SignedIn, q: Text = "", waiting: bool = False) -> Response:
    """The rows as they are now."""
    found = session.overview.get(KEY, FRESH, lambda: rows(session.registry))
    return _page(request, session, "_rows.html", found, q, waiting, complete=True)


def _page(
    request: Request,
    session: Session,
    template: str,
    found: list[Row] | None,
    text: str,
    waiting: bool,
    *,
    complete: bool,
) -> Response:
    return page(
        request,
        template,
        session=session,
        known=found is not None,
        total=len(found or []),
        rows=matching(found or [], text, waiting=waiting),
        pending=sum(row.challenger is not None for row in found or []),
        text=text,
        waiting=waiting,
        complete=complete,
    )
