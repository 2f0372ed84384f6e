"""How the page writes numbers, times and sentences."""

import datetime
import doctest

import pytest

from destseg.review import render


def test_the_examples_hold() -> None:
    assert doctest.testmod(render).failed == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "less than a minute"), (59, "less than a minute"), (60, "1 minute"), (7300, "2 hours"), (90_000, "1 day")],
)
def test_an_age_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    then = datetime.datetime.now().astimezone() - datetime.timedelta(seconds=seconds)
    assert render.ago(then) == said
