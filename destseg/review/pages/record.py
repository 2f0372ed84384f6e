"""A champion's record: who made it so, when and why, and how it stood at the gates. Prints as the approval record."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from destseg.evaluation.meanings import MEANINGS
from destseg.registry.comparison import reference
from destseg.registry.rest import Absent
from destseg.review.comparison import number_tags
from destseg.review.curves import charts
from destseg.review.pages.category import look
from destseg.review.pages.evidence import compared
from destseg.review.pages.session import SignedIn, TheDesk
from destseg.review.render import page
from destseg.review.standing import created, gates

router = APIRouter()


@router.get("/categories/{category}/champions/{number}")
def show(request: Request, desk: TheDesk, session: SignedIn, category: str, number: int) -> Response:
    """The record of a released version that counts."""
    found = look(session, category)
    version = next((one for one in found.line if one.version == number), None)
    if version is None:
        raise Absent(f"{category} had no champion with version {number}")
    after = next((one for one in found.line if one.version > number), None)
    named = reference(version)
    comparison, doubt = compared(desk, session, category, named)
    return page(
        request,
        "record.html",
        session=session,
        found=found,
        version=version,
        after=after,
        created=created,
        gates=gates(version.tags) or [],
        named=named,
        comparison=comparison,
        doubt=doubt,
        curves=charts(comparison) if comparison else [],
        metrics=number_tags(version.tags.get("metrics")),
        meanings=MEANINGS,
    )
