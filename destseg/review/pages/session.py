"""Who asks: the session behind a request's cookie, and forms that carry its token."""

import getpass
from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from destseg import Error
from destseg.registry.rest import Rest
from destseg.review import forms
from destseg.review.desk import Desk
from destseg.review.sessions import Session


class SignInNeeded(Exception):
    """Nobody is signed in."""


def the_desk(request: Request) -> Desk:
    """The desk of this application."""
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(the_desk)]


def signed_in(request: Request, desk: TheDesk) -> Session:
    """The session; where the registry has no accounts, whoever is at this machine has one."""
    session = desk.sessions.find(request.cookies.get(desk.cookie("session")))
    if session is None:
        if desk.accounts or request.method != "GET":
            raise SignInNeeded
        session = desk.sessions.begin(_user(), Rest(desk.registry), None)
        request.state.begun = session
    return session


SignedIn = Annotated[Session, Depends(signed_in)]


async def checked_form(request: Request, desk: TheDesk, session: SignedIn) -> dict[str, str]:
    """The fields of a form that this session's page has sent."""
    fields = await forms.read(request)
    forms.check(request, fields, session.csrf, desk.address)
    return fields


Form = Annotated[dict[str, str], Depends(checked_form)]


def set_cookie(desk: Desk, answer: Response, what: str, value: str) -> None:
    """Ends with the browser; no script reads it, no other site sends it."""
    answer.set_cookie(desk.cookie(what), value, secure=desk.secure, httponly=True, samesite="strict", path="/")


def forget_cookie(desk: Desk, request: Request, answer: Response) -> None:
    """Ends the session of this request."""
    session = desk.sessions.find(request.cookies.get(desk.cookie("session")))
    if session is not None:
        desk.sessions.end(session)
    answer.delete_cookie(desk.cookie("session"), secure=desk.secure, httponly=True, samesite="strict", path="/")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise Error("this user has no name here; start `destseg review` as one that has") from None
