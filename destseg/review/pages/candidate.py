"""A candidate: the verdict, its gates, its numbers beside the champion's, what changed, and the decision."""

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from destseg.evaluation.meanings import MEANINGS
from destseg.registry.rest import Absent
from destseg.review.curves import charts
from destseg.review.gallery import first_view
from destseg.review.judging import absence
from destseg.review.logbook import refusal, registration
from destseg.review.overview import Row
from destseg.review.pages.categories import KEY as OVERVIEW
from destseg.review.pages.category import look
from destseg.review.pages.evidence import candidate, compared, stand
from destseg.review.pages.session import SignedIn, TheDesk
from destseg.review.points import slider
from destseg.review.render import page
from destseg.review.standing import created

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
    stands = stand(desk, session, category, version, found.champion)
    comparison, doubt = compared(desk, session, category, stands.named)
    return page(
        request,
        "candidate.html",
        session=session,
        found=found,
        version=version,
        created=created,
        waits=found.is_open(version),
        refused=refusal(found.log, version.address),
        registered=registration(found.log, version.address),
        champion=found.released(number),
        challenger=found.waits and found.challenger is not None and found.challenger.version == number,
        stands=stands,
        comparison=comparison,
        doubt=doubt or ("" if found.released(number) else absence(category, version, stands.named, found.champion)),
        meanings=MEANINGS,
        curves=charts(comparison) if comparison else [],
        slider=slider(comparison) if comparison else None,
        view=first_view(comparison) if comparison else "all",
    )


@router.get("/categories/{category}/candidates/{number}/glance")
def glance(request: Request, desk: TheDesk, session: SignedIn, category: str, number: int) -> Response:
    """Gates and verdict in a line, for the list of categories, which asks for those in sight."""
    version = candidate(session, category, number)
    rows: list[Row] = session.overview.known(OVERVIEW) or []
    row = next((row for row in rows if row.category == category), None)
    champion = row.champion if row else look(session, category).champion
    stands = stand(desk, session, category, version, champion)
    comparison, _ = compared(desk, session, category, stands.named)
    return page(request, "_glance.html", session=session, stands=stands, comparison=comparison)


@router.get("/categories/{category}/candidates/{number}/report")
def report(desk: TheDesk, session: SignedIn, category: str, number: int) -> Response:
    """The evaluation report that was kept with the version, as a page that can do nothing."""
    version = candidate(session, category, number)
    if version.run_id is None:
        raise Absent(f"candidate {number} of {category} names no run, so no report was kept with it")
    path = desk.artifacts.report(session.registry, version.run_id, REPORT, REPORT_LIMIT)
    return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})
