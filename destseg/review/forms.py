"""Forms that only our own pages can send: urlencoded, small, with the token of the session."""

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl

from starlette.requests import Request

from destseg import Error

LIMIT = 64 * 1024  # bytes of a form; the longest thing in it is a reason
FIELDS = 30


class Refused(Error):
    """A form that did not come from our page as it is now."""


async def read(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused("this address takes a form of this page only")
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > LIMIT:
            raise Refused(f"the form is larger than {LIMIT} bytes; write a shorter reason")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise Refused("the form cannot be read; open the page again") from None
    return dict(pairs)


def check(request: Request, fields: dict[str, str], expected: str, address: str) -> None:
    """Refused unless the form carries the token and, where the browser names the sending page, it is ours."""
    origin = request.headers.get("origin")
    same = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if not same or (origin is not None and origin.lower() != address.lower()):
        raise Refused("the form was sent from another page; open this page and try again")
    if not hmac.compare_digest(fields.get("csrf", "").encode(), expected.encode()):
        raise Refused("the page was open for too long, or you signed in anew meanwhile; open it again")


class SignInToken:
    """The token of the sign-in form, before there is a session: a random name in a cookie, signed in the form."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def name(self) -> str:
        """A new value for the cookie."""
        return secrets.token_urlsafe(16)

    def token(self, name: str) -> str:
        """What the form of whoever holds this cookie carries."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
