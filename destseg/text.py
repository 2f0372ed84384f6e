"""Text from outside: what may be kept of it, and how terminals and logs show it."""

import re

from destseg import Error

LONGEST_REASON = 2000  # characters


def printable(text: str) -> str:
    """`text` on one line: what a terminal would obey, and line breaks, are shown escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def without_login(address: str) -> str:
    """An address as it may be shown: `user:password@` left out."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", address)


def about(seconds: float) -> str:
    """A duration that was estimated, in words: `about 4 min`, `about 2 days`."""
    for length, unit, upto in ((1, "s", 90), (60, "min", 90 * 60), (3600, "h", 36 * 3600)):
        if seconds < upto:
            return f"about {max(1, round(seconds / length))} {unit}"
    return f"about {round(seconds / 86400)} day{'s' if seconds >= 1.5 * 86400 else ''}"


def reason(why: str) -> str:
    """A reason as it is kept: UTF-8, on one line, not empty."""
    said = " ".join(typed(why, "--why").split())
    if not said:
        raise Error("this needs a reason; give it with --why, or on the page in its field")
    if len(said) > LONGEST_REASON:
        raise Error(f"the reason has {len(said)} characters; {LONGEST_REASON} may be kept")
    return printable(said)


def typed(text: str, option: str) -> str:
    """`text`, which came with `option`; an Error where its bytes were no UTF-8, for nothing could keep it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Error(
            f"{option} is no UTF-8 text at its character {error.start + 1}: {printable(text)[:80]}; type it in a "
            "terminal that is set to UTF-8"
        ) from None
    return text
