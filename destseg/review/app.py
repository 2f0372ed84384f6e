"""The application: its pages, and what holds for every answer of it."""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from destseg import Error
from destseg.registry.rest import Absent, Forbidden, Unauthorised, Unavailable
from destseg.review.desk import Desk
from destseg.review.forms import Refused
from destseg.review.pages import acts, candidate, categories, category, gallery, record, sign_in
from destseg.review.pages.session import SignInNeeded, forget_cookie
from destseg.review.render import page
from destseg.text import printable

log = logging.getLogger("destseg.review")
STATIC = Path(__file__).parent / "static"
HEADERS = {
    # No script, style, font or picture but our own files; no frame around us; forms go to us only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
CODES: tuple[tuple[type[Error], int], ...] = (
    (Absent, 404),
    (Forbidden, 403),
    (Refused, 403),
    (Unavailable, 503),
    (Error, 400),
)
HINT = "An administrator of the registry grants it with `destseg registry init`."
FAULT = (
    "this is no fault of yours: tell an engineer the reference {}, under which the log of this page says more. If you "
    "decided something, look at the history before you try again"
)
TITLES = {
    400: "This did not work",
    403: "Not allowed",
    404: "Not there",
    422: "Not an address of this page",
    500: "The page itself failed",
    503: "The registry does not answer as it should",
}


def create_app(desk: Desk) -> FastAPI:
    """The page of this desk."""
    app = FastAPI(title="destseg review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    app.mount("/static", StaticFiles(directory=STATIC))
    for part in (sign_in, categories, record, gallery, candidate, acts, category):
        app.include_router(part.router)
    app.add_api_route("/health", lambda: PlainTextResponse("ok\n"))
    app.middleware("http")(_every_answer)
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(Unauthorised, _sign_in)
    app.add_exception_handler(Error, _error)
    app.add_exception_handler(HTTPException, _error)
    app.add_exception_handler(RequestValidationError, _error)
    return app


async def _every_answer(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuses what came to another name than ours, adds the headers, and writes one line without a query to the log."""
    desk: Desk = request.app.state.desk
    begun, path = time.perf_counter(), ascii(request.url.path)[1:-1]
    if request.headers.get("host", "").lower() != desk.host:
        answer: Response = Response(f"this is {desk.address}; open that address\n", 421, media_type="text/plain")
    else:
        try:
            answer = await call_next(request)
        except Exception:  # a defect of ours: the log has all of it, and whoever asked a sentence and where to find it
            reference = secrets.token_hex(4)
            log.exception("%s: %s %s failed", reference, request.method, path)
            answer = _answer(request, 500, FAULT.format(reference))
        session = getattr(request.state, "begun", None)
        if session is not None:  # begun without a sign-in, where the registry has no accounts
            answer.set_cookie(
                desk.cookie("session"), session.id, secure=desk.secure, httponly=True, samesite="strict", path="/"
            )
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    if desk.secure:
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    answer.headers.setdefault("Cache-Control", "no-cache" if request.url.path.startswith("/static/") else "no-store")
    milliseconds = 1000 * (time.perf_counter() - begun)
    log.info("%s %s %d %.0f ms", request.method, path, answer.status_code, milliseconds)
    return answer


async def _sign_in(request: Request, error: Exception) -> Response:
    """To the sign-in form, and back to where one was."""
    desk: Desk = request.app.state.desk
    target = f"{request.url.path}" if request.method == "GET" else "/"
    if request.headers.get("hx-request"):
        answer = Response(status_code=204, headers={"HX-Redirect": "/sign-in"})
    else:
        answer = RedirectResponse(sign_in.address(target), 303)
    if isinstance(error, Unauthorised):  # the password was changed, or the account deleted, since it signed in
        forget_cookie(desk, request, answer)
    return answer


async def _error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        code, said = error.status_code, str(error.detail)
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        code, said = 422, printable(f"the part {first['loc'][-1]} of the address: {first['msg']}")
    else:
        code, said = next(code for kind, code in CODES if isinstance(error, kind)), str(error)
    hint = HINT if isinstance(error, Forbidden) else ""
    return _answer(request, code, said, hint)


def _answer(request: Request, code: int, said: str, hint: str = "") -> Response:
    """A page that says what went wrong, or the part of one that htmx puts in place of what it asked for."""
    part = "hx-request" in request.headers
    again = part or (request.method == "GET" and code >= 500)
    template, title = "_error.html" if part else "error.html", TITLES.get(code, HTTPStatus(code).phrase)
    return page(request, template, title=title, said=said, hint=hint, again=again, status_code=code)
