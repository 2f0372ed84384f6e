"""Promote, turn down, roll back: proposed with a reason, repeated in full, confirmed, carried out, shown."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from destseg import Error
from destseg.dataset.layout import GOOD
from destseg.registry.comparison import CONTENT
from destseg.registry.connection import released
from destseg.registry.history import NOTHING
from destseg.registry.rest import Version
from destseg.review.acts import Act, Verb
from destseg.review.logbook import refusal
from destseg.review.pages.category import look, look_now
from destseg.review.pages.evidence import evidence, stand
from destseg.review.pages.session import Form, SignedIn, TheDesk, checked_form
from destseg.review.render import clock, page, share
from destseg.review.sessions import Session
from destseg.review.standing import Standing, created, whole
from destseg.text import reason

router = APIRouter()
KEPT = "Your name, your reason and the time are kept for ever in the history."


@router.post("/categories/{category}/candidates/{number}/promote")
def promote(desk: TheDesk, session: SignedIn, fields: Form, category: str, number: int) -> Response:
    """Asks to confirm a promotion."""
    found = look_now(session, category)
    version = found.candidate(number)
    stands, override = stand(desk, session, category, version, found.champion), fields.get("override") == "yes"
    seen = stands.named.files[CONTENT] if stands.named else NOTHING
    if fields.get("comparison") != seen:
        raise Error(f"candidate {number} of {category} was compared anew since you opened its page; look at it again")
    against = [f"Failed: {', '.join(stands.failed)}."] if stands.failed else []
    if down := refusal(found.log, version.address):
        against.append(f"{down.entry.who} turned it down: {down.entry.why}")
    elif "turned_down" in version.tags:
        against.append("It was turned down.")
    effects = [f"Candidate {number} becomes the champion of {category}.", _replaced(found)]
    effects.append("Every line that loads the champion inspects with it from its next load on.")
    if override:
        effects.append("Gates that fail do not stop it; the history will show that you promoted it all the same.")
    else:
        effects.append("The gates run again first; if one fails, nothing is changed.")
        if against:
            effects.append("As it is now, this will be refused, for you did not choose to promote it all the same.")
    effects += against
    act = _act(session, found, "promote", f"Promote candidate {number} of {category}", fields, effects)
    act.arguments = (
        f"--version={number}",
        _seen(found),
        f"--comparison={seen}",
        *(("--override",) if override else ()),
    )
    return _asked(desk.acts.propose(act))


@router.post("/categories/{category}/candidates/{number}/turn-down")
def turn_down(desk: TheDesk, session: SignedIn, fields: Form, category: str, number: int) -> Response:
    """Asks to confirm that a candidate is turned down."""
    found = look_now(session, category)
    found.candidate(number)
    champion = f"Version {found.champion.version} stays the champion." if found.champion else "There is no champion."
    effects = [f"Candidate {number} of {category} is marked as turned down and is offered no more.", champion]
    act = _act(session, found, "turn-down", f"Turn down candidate {number} of {category}", fields, effects)
    act.arguments = (f"--version={number}",)
    return _asked(desk.acts.propose(act))


@router.post("/categories/{category}/candidates/{number}/recalibrate")
def recalibrate(desk: TheDesk, session: SignedIn, fields: Form, category: str, number: int) -> Response:
    """Asks to confirm that a new candidate is made, with another operating point of this one's calibration."""
    found, comparison = look_now(session, category), evidence(desk, session, category, number).comparison
    place, points = whole(fields.get("place")), comparison.operating_points
    if place is None or place >= len(points) or comparison.current is None:
        raise Error(f"operating point {fields.get('place', '')[:20]!r} is not one of the {len(points)} that there are")
    if place == comparison.current:
        raise Error(f"candidate {number} of {category} has this operating point already; choose another one")
    point, present = points[place], points[comparison.current]
    normals = comparison.kinds.get(GOOD, 0)
    defects = sum(comparison.kinds.values()) - normals
    effects = [
        f"A new candidate of {category} is registered: the weights of candidate {number}, and a threshold that "
        f"{share(point.rate)} of its calibration images exceed instead of {share(present.rate)}.",
        f"On the acceptance set it would falsely reject {point.false_rejects} of {normals} good images instead of "
        f"{present.false_rejects}, and miss {point.missed} of {defects} defects instead of {present.missed}.",
        "Compared with the champion, it then waits for a decision as every candidate does. No line changes.",
    ]
    act = _act(session, found, "recalibrate", f"Propose another operating point for {category}", fields, effects)
    act.arguments = (f"--version={number}", f"--rate={point.rate!r}")
    return _asked(desk.acts.propose(act))


@router.post("/categories/{category}/rollback")
def rollback(desk: TheDesk, session: SignedIn, fields: Form, category: str) -> Response:
    """Asks to confirm that the champion before comes back."""
    found = look_now(session, category)
    former = found.former
    if former is None:
        raise Error(f"{category} has no champion before the present one, so there is nothing to go back to")
    effects = [
        f"Version {former.version}, champion since {clock(created(former))}, becomes the champion of {category} again, "
        "under a new version number.",
        _replaced(found),
        "Every line that loads the champion inspects with it from its next load on.",
    ]
    act = _act(session, found, "rollback", f"Roll {category} back to version {former.version}", fields, effects)
    act.arguments = (f"--to={former.version}", _seen(found))
    return _asked(desk.acts.propose(act))


@router.post("/acts/{id_}", dependencies=[Depends(checked_form)])
def confirm(desk: TheDesk, session: SignedIn, id_: str) -> Response:
    """Carries it out, once, unless the champion has changed since it was proposed."""
    act = desk.acts.find(session, id_)
    if act.state == "proposed":
        champion = look_now(session, act.category).champion
        if (champion.version if champion else None) != act.champion:
            raise Error(
                f"the champion of {act.category} has changed meanwhile{_by(champion)}; nothing was done, "
                "look again and decide anew"
            )
        desk.acts.confirm(act)
    return RedirectResponse(f"/acts/{act.id}", 303)


@router.get("/acts/{id_}")
def show(request: Request, desk: TheDesk, session: SignedIn, id_: str) -> Response:
    """How it goes, and in the end what came of it; an unconfirmed one is asked again."""
    act = desk.acts.find(session, id_)
    if act.state == "proposed":
        return page(request, "confirm.html", session=session, act=act)
    entry: Version | None = None
    if act.state == "done" and act.verb in ("promote", "rollback"):
        version = int(act.result["version"])
        entry = session.registry.version(released(act.category), version)
    template = "_act.html" if "hx-request" in request.headers else "act.html"
    stands = now(session, act) if act.state == "failed" else ""
    return page(request, template, session=session, act=act, entry=entry, created=created, stands=stands)


def now(session: Session, act: Act) -> str:
    """How the champion stands after an act that failed, perhaps only after the registry had carried it out."""
    if act.verb not in ("promote", "rollback"):
        return ""
    try:
        champion = look(session, act.category).champion
    except Error:
        return "It is not known whether anything was changed; look at the history when the registry answers again."
    if (champion.version if champion else None) == act.champion:
        return "The champion is as it was."
    return f"The champion has changed{_by(champion)}. Look at the history before you decide anew."


def _act(session: Session, found: Standing, verb: Verb, title: str, fields: dict[str, str], effects: list[str]) -> Act:
    return Act(
        category=found.category,
        verb=verb,
        arguments=(),
        why=reason(fields.get("why", "")),
        title=title,
        effects=(*effects, KEPT),
        champion=found.champion.version if found.champion else None,
        owner=session,
    )


def _seen(found: Standing) -> str:
    """The champion that the person saw: if it is another by then, the command refuses."""
    return f"--replaces={found.champion.version if found.champion else NOTHING}"


def _replaced(found: Standing) -> str:
    champion = found.champion
    if champion is None:
        return "It is the first champion; no line has loaded one before."
    return (
        f"It replaces version {champion.version}, which {champion.tags.get('who', 'somebody')} made champion on "
        f"{clock(created(champion))}; that one is kept, and a rollback brings it back."
    )


def _by(champion: Version | None) -> str:
    if champion is None:
        return ""
    return f": {champion.tags.get('who', 'somebody')} made version {champion.version} the champion"


def _asked(act: Act) -> Response:
    """The question has an address of its own: the browser's back button leads to it and sends nothing again."""
    return RedirectResponse(f"/acts/{act.id}", 303)
