"""The examples of how a model's teacher is named are right."""

import doctest

from destseg.model import named


def test_the_examples() -> None:
    found = doctest.testmod(named)
    assert (found.attempted, found.failed) == (2, 0)
