"""Signing in with the account of the registry, and out."""

import logging
import threading
from contextlib import ExitStack
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from destseg import Error
from destseg.registry.rest import Rest, Unauthorised
from destseg.review import forms
from destseg.review.desk import Desk
from destseg.review.pages.categories import overview
from destseg.review.pages.session import TheDesk, checked_form, forget_cookie, set_cookie
from destseg.review.render import page

log = logging.getLogger("destseg.review")
router = APIRouter()
WRONG = "The registry does not know this name and password."
SILENT = "The registry does not answer as it should, so that nobody can sign in. Try again in a moment."


async def form(request: Request, desk: TheDesk) -> dict[str, str]:
    """The fields of the sign-in form, which belongs to the cookie that came with it."""
    fields = await forms.read(request)
    forms.check(request, fields, desk.sign_in.token(request.cookies.get(desk.cookie("sign-in"), "")), desk.address)
    return fields


def address(target: str) -> str:
    """The sign-in page that leads to `target`."""
    return "/sign-in" if target == "/" else f"/sign-in?next={quote(_local(target), safe='/')}"


@router.get("/sign-in")
def ask(request: Request, desk: TheDesk, next: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """The form."""
    if not desk.accounts:
        return RedirectResponse("/", 303)
    return _form(request, desk, _local(next))


@router.post("/sign-in")
def sign_in(request: Request, desk: TheDesk, fields: Annotated[dict[str, str], Depends(form)]) -> Response:
    """Asks the registry whether it knows the account; a new session if so."""
    target = _local(fields.get("next", "/"))
    user, password = fields.get("user", "").strip(), fields.get("password", "")
    client = request.client.host if request.client else ""
    if not user or not password or ":" in user or len(user) > 250 or len(password) > 1000:
        return _form(request, desk, target, user=user[:250], said=WRONG, code=401)
    if wait := desk.attempts.begin(client, user):
        minutes = int(wait // 60) + 1
        said = f"Too many attempts. Try again in {minutes} minute{'s' * (minutes > 1)}."
        return _form(request, desk, target, user=user, said=said, code=429)
    with ExitStack() as unless_signed_in:
        registry = unless_signed_in.enter_context(Rest(desk.registry, (user, password)))
        try:
            account = registry.account()
            if account is None:  # the page began with a registry that has accounts
                raise Error(f"{desk.registry} says that it has no accounts")
        except Unauthorised:
            return _form(request, desk, target, user=user, said=WRONG, code=401)
        except Error as error:  # which says nothing of the password
            desk.attempts.unanswered(client, user)
            log.warning("nobody can sign in: %s", error)
            return _form(request, desk, target, user=user, said=SILENT, code=503)
        unless_signed_in.pop_all()  # the session's from now on
    desk.attempts.succeeded(client, user)
    former = desk.sessions.find(request.cookies.get(desk.cookie("session")))
    if former is not None:
        desk.sessions.end(former)
    session = desk.sessions.begin(account, registry, password)
    threading.Thread(target=overview, args=(session,), daemon=True).start()  # read while the browser follows us there
    answer = RedirectResponse(target, 303)
    set_cookie(desk, answer, "session", session.id)
    answer.delete_cookie(desk.cookie("sign-in"), secure=desk.secure, httponly=True, samesite="strict", path="/")
    return answer


@router.post("/sign-out", dependencies=[Depends(checked_form)])
def sign_out(request: Request, desk: TheDesk) -> Response:
    """Ends the session."""
    answer = RedirectResponse("/sign-in", 303)
    forget_cookie(desk, request, answer)
    return answer


def _form(request: Request, desk: Desk, target: str, *, user: str = "", said: str = "", code: int = 200) -> Response:
    name = request.cookies.get(desk.cookie("sign-in")) or desk.sign_in.name()
    token = desk.sign_in.token(name)
    answer = page(request, "sign_in.html", token=token, target=target, user=user, said=said, status_code=code)
    set_cookie(desk, answer, "sign-in", name)
    return answer


def _local(target: str) -> str:
    """A path of ours, whatever somebody wrote into a link."""
    safe = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if safe else "/"
