"""Text from outside, for terminals and logs."""

import re


def printable(text: str) -> str:
    """`text` on one line: what a terminal would obey, and line breaks, are shown escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def without_login(address: str) -> str:
    """An address as it may be shown: `user:password@` left out."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", address)
