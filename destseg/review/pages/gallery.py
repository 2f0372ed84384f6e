"""The gallery: some images at a time, and each picture by itself."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from destseg.dataset.layout import GALLERY
from destseg.registry.rest import Absent
from destseg.review.artifacts import PICTURES
from destseg.review.desk import Desk
from destseg.review.gallery import PAGE, VIEWS, counts, says, select
from destseg.review.pages.evidence import evidence
from destseg.review.pages.session import SignedIn, TheDesk
from destseg.review.render import page
from destseg.review.sessions import Session

router = APIRouter()


@router.get("/categories/{category}/candidates/{number}/gallery")
def images(
    request: Request,
    desk: TheDesk,
    session: SignedIn,
    category: str,
    number: int,
    view: Annotated[str, Query(pattern=f"^({'|'.join(VIEWS)})$")] = "all",
    kind: Annotated[str, Query(max_length=200)] = "",
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """PAGE images from `start` on; the first ones with the filters above them."""
    found = evidence(desk, session, category, number)
    chosen = select(found.comparison, view, kind)
    return page(
        request,
        "_images.html" if start else "_gallery.html",
        session=session,
        category=category,
        number=number,
        comparison=found.comparison,
        views=VIEWS,
        counts=counts(found.comparison, kind),
        view=view,
        kind=kind,
        total=len(chosen),
        images=chosen[start : start + PAGE],
        start=start,
        following=start + PAGE if start + PAGE < len(chosen) else None,
        says=says,
    )


@router.get("/categories/{category}/candidates/{number}/images/{index}/{what}.webp")
def picture(
    request: Request, desk: TheDesk, session: SignedIn, category: str, number: int, index: int, what: str
) -> Response:
    """One picture, always as WebP."""
    if what not in PICTURES:
        raise Absent(f"there is no picture {what[:40]!r}; expected {', '.join(PICTURES)}")
    return _webp(request, desk, session, category, number, f"{index}/{what}")


@router.get("/categories/{category}/candidates/{number}/added/{index}/photo.webp")
def added(request: Request, desk: TheDesk, session: SignedIn, category: str, number: int, index: int) -> Response:
    """A small picture of an image that came to the dataset since the champion."""
    return _webp(request, desk, session, category, number, f"added/{index}")


def _webp(request: Request, desk: Desk, session: Session, category: str, number: int, name: str) -> Response:
    found = evidence(desk, session, category, number)
    etag = f'"{found.named.files[GALLERY][:32]}-{name}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    content = desk.artifacts.picture(session.registry, found.named, name)
    return Response(content, media_type="image/webp", headers=headers)
