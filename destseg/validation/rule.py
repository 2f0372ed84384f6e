"""A rule: one Great Expectations expectation, how much it matters, and its words for people."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import Column, Condition

from destseg.dataset.layout import GOOD
from destseg.validation.verdict import Severity

Facts = dict[str, Any]
IMAGE = Column("role") == "image"
MASK = Column("role") == "mask"
DEFECT = IMAGE & (Column("split") == "test") & (Column("kind") != GOOD)
_SEVERITY = {"error": FailureSeverity.CRITICAL, "warning": FailureSeverity.WARNING}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One expectation about the table of `suite.frame`."""

    name: str
    severity: Severity
    sentence: str
    expectation: Expectation
    finding: Callable[[Facts], str]
    """What is wrong: from a file's row, or {"observed": value, "files": rows} when the rule is about all of them."""
    names_other: str | None = None
    """The column that holds the path of the file that this one is held against."""


def rule(
    name: str,
    severity: Severity,
    sentence: str,
    expectation: type[Expectation],
    finding: Callable[[Facts], str],
    *,
    where: Condition | None = None,
    names_other: str | None = None,
    **arguments: Any,
) -> Rule:
    """The rule with its expectation built: of class `expectation`, on the rows `where`, with `arguments`."""
    arguments |= {"row_condition": where, "severity": _SEVERITY[severity]}
    built = expectation(meta={"rule": name}, description=sentence, **arguments)
    return Rule(
        name=name,
        severity=severity,
        sentence=sentence,
        expectation=built,
        finding=finding,
        names_other=names_other,
    )


def size(facts: Facts) -> str:
    """Width and height of a file, such as 640x480."""
    return f"{facts['width']:.0f}x{facts['height']:.0f}"
