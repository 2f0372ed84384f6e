"""A candidate: the verdict, its gates, its numbers beside the champion's, what changed, and the decision."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from destseg import Error
from destseg.evaluation.meanings import MEANINGS
from destseg.registry.rest import Absent, Version
from destseg.review.comparison import TAG, Comparison, reference
from destseg.review.gallery import first_view
from destseg.review.pages.category import look
from destseg.review.pages.evidence import candidate
from destseg.review.pages.session import SignedIn, TheDesk
from destseg.review.points import slider
from destseg.review.render import page
from destseg.review.standing import created, gates, waits

router = APIRouter()
REPORT = "evaluation/report.html"  # among the files of the candidate's run
REPORT_LIMIT = 64 * 2**20
# The report came from training. It is shown as a page that can do nothing: no script, no form, no request, no origin.
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


@router.get("/categories/{category}/candidates/{number}")
def show(request: Request, desk: TheDesk, session: SignedIn, category: str, number: int) -> Response:
    """The page of a candidate; without a comparison it says what to do."""
    found = look(session, category)
    version = candidate(session, category, number)
    named = reference(version.tags.get(TAG))
    comparison: Comparison | None = None
    doubt = ""
    if named is not None:
        try:
            comparison = desk.artifacts.comparison(session.registry, named)
        except Absent:
            doubt = "The files of the comparison are not in the registry any more."
    return page(
        request,
        "candidate.html",
        session=session,
        found=found,
        version=version,
        created=created,
        waits=waits(version, found.line),
        challenger=found.challenger is not None and found.challenger.version == number,
        gates=gates(version.tags),
        named=named,
        comparison=comparison,
        doubt=doubt or (_doubt(comparison, category, found.champion) if comparison else ""),
        meanings=MEANINGS,
        slider=slider(comparison) if comparison else None,
        view=first_view(comparison) if comparison else "all",
    )


@router.get("/categories/{category}/candidates/{number}/report")
def report(desk: TheDesk, session: SignedIn, category: str, number: int) -> Response:
    """The evaluation report that was kept with the version, as a page that can do nothing."""
    version = candidate(session, category, number)
    if version.run_id is None:
        raise Absent(f"candidate {number} of {category} names no run, so no report was kept with it")
    path = desk.artifacts.report(session.registry, version.run_id, REPORT, REPORT_LIMIT)
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def _doubt(comparison: Comparison, category: str, champion: Version | None) -> str:
    """What the reader must know before believing the comparison."""
    if comparison.category != category:
        raise Error(f"this comparison is one of {comparison.category}, expected {category}")
    compared = comparison.champion.version if comparison.champion else None
    present = champion.version if champion else None
    if compared == present:
        return ""
    before = f"version {compared}" if compared else "no champion at all"
    now = f"version {present} is the champion now" if present else "there is no champion now"
    return f"This compares with {before}, but {now}. Compare again before you decide."
