"""How the page writes numbers, times and sentences."""

import datetime
import doctest

import pytest

from destseg import Error
from destseg.review import render
from destseg.review.acts import LONGEST_REASON, reason


def test_the_examples_hold() -> None:
    assert doctest.testmod(render).failed == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "less than a minute"), (59, "less than a minute"), (60, "1 minute"), (7300, "2 hours"), (90_000, "1 day")],
)
def test_an_age_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    then = datetime.datetime.now().astimezone() - datetime.timedelta(seconds=seconds)
    assert render.ago(then) == said


def test_a_reason_is_one_line_that_says_something() -> None:
    assert reason("  finds\n more \t dents ") == "finds more dents"
    assert reason("beep\x07 ünïcode") == "beep\\x07 ünïcode"
    for empty in ("", " \n "):
        with pytest.raises(Error, match="a reason is needed"):
            reason(empty)
    with pytest.raises(Error, match=f"{LONGEST_REASON} may be kept"):
        reason("x" * (LONGEST_REASON + 1))
