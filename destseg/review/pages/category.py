"""One category: champion, challenger, candidates, history and log."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from destseg.dataset.layout import check_category
from destseg.review.pages.session import SignedIn
from destseg.review.render import page
from destseg.review.sessions import Session
from destseg.review.standing import Standing, created, standing

router = APIRouter()
FRESH = 5.0  # seconds


def look(session: Session, category: str) -> Standing:
    """The category as it was at most a few seconds ago."""
    check_category(category)
    return session.memory.get(("standing", category), FRESH, lambda: standing(session.registry, category))


def look_now(session: Session, category: str) -> Standing:
    """The category as it is, before something is decided."""
    check_category(category)
    return session.memory.get(("standing", category), -1.0, lambda: standing(session.registry, category))


@router.get("/categories/{category}")
def show(request: Request, session: SignedIn, category: str) -> Response:
    """The page of the category."""
    found = look(session, category)
    return page(
        request,
        "category.html",
        session=session,
        found=found,
        created=created,
        waiting=[one for one in reversed(found.candidates) if found.is_open(one)],
    )
