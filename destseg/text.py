"""Text from outside, for terminals and logs."""


def printable(text: str) -> str:
    """`text` on one line: what a terminal would obey, and line breaks, are shown escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
