"""What may be kept and shown of what comes from outside."""

import pytest

from destseg import Error
from destseg.text import LONGEST_REASON, reason, without_login


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://mlflow:s3cret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("https://token@git.example.com/line.git", "https://git.example.com/line.git"),
        ("https://mlflow.example.com/#/models/a@b", "https://mlflow.example.com/#/models/a@b"),
        ("sqlite:////srv/a@b/mlflow.db", "sqlite:////srv/a@b/mlflow.db"),
        ("git@example.com:line.git", "git@example.com:line.git"),
    ],
)
def test_an_address_is_shown_without_its_login(address: str, shown: str) -> None:
    assert without_login(address) == shown


def test_a_reason_is_one_line_that_says_something() -> None:
    assert reason("  finds\n more \t dents ") == "finds more dents"
    assert reason("beep\x07 ünïcode") == "beep\\x07 ünïcode"
    for empty in ("", " \n "):
        with pytest.raises(Error, match="this needs a reason; give it with --why"):
            reason(empty)
    with pytest.raises(Error, match=f"{LONGEST_REASON} may be kept"):
        reason("x" * (LONGEST_REASON + 1))


def test_bytes_that_are_no_utf8_are_named() -> None:
    with pytest.raises(Error, match=r"--why is no UTF-8 text at its character 3: gr\\udcfcn; type it in a terminal"):
        reason("gr\udcfcn")
