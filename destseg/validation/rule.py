"""A rule: what is expected of the table of files, how much it matters, and its words for people.

It is data, so that it can be checked by Great Expectations (suite.py) and without its seconds of loading (plain.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from destseg.dataset.layout import GOOD
from destseg.validation.verdict import Finding, Outcome, Severity, counted

Facts = dict[str, Any]
Operator = Literal["==", "!=", ">", "is there"]
Where = tuple[tuple[str, Operator, Any], ...]
"""(column, operator, value), all of which hold of a row that is looked at."""
IMAGE: Where = (("role", "==", "image"),)
MASK: Where = (("role", "==", "mask"),)
DEFECT: Where = (*IMAGE, ("split", "==", "test"), ("kind", "!=", GOOD))
Expectation = Literal[
    "ExpectColumnValuesToBeNull",
    "ExpectColumnValuesToNotBeNull",
    "ExpectColumnValuesToBeInSet",
    "ExpectColumnValuesToNotBeInSet",
    "ExpectColumnValuesToBeBetween",
    "ExpectColumnUniqueValueCountToBeBetween",
    "ExpectColumnMedianToBeBetween",
    "ExpectTableRowCountToBeBetween",
]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One expectation about the table of `facts.of`."""

    name: str
    severity: Severity
    sentence: str
    expectation: Expectation
    """By its name in Great Expectations."""
    where: Where
    """The rows that it is about."""
    arguments: Facts
    """column, value_set, min_value, strict_min, max_value: whichever the expectation takes."""
    finding: Callable[[Facts], str]
    """What is wrong: from a file's row, or {"observed": value, "files": rows} when the rule is about all of them."""
    names_other: str | None = None
    """The column that holds the path of the file that this one is held against."""

    def of_files(self, wrong: list[Facts], looked_at: int) -> tuple[Outcome, list[Finding]]:
        """What follows where the rows `wrong`, of so many, are against it."""
        observed = counted(looked_at, "file")
        if wrong:
            observed = f"{len(wrong)} of {observed} against it"
        findings = [
            Finding(
                severity=self.severity,
                file=facts["path"],
                expectation=self.name,
                text=self.finding(facts),
                other=facts[self.names_other] if self.names_other else None,
            )
            for facts in wrong
        ]
        return self._outcome(not wrong, observed), findings

    def of_all(self, observed: Any, success: bool, files: list[Facts]) -> tuple[Outcome, list[Finding]]:
        """What follows where one value was observed of all `files`."""
        outcome = self._outcome(success, str(observed))
        if success:
            return outcome, []
        text = self.finding({"observed": observed, "files": files})
        return outcome, [Finding(severity=self.severity, file=None, expectation=self.name, text=text)]

    def _outcome(self, success: bool, observed: str) -> Outcome:
        return Outcome(
            name=self.name, severity=self.severity, sentence=self.sentence, success=success, observed=observed
        )


def rule(
    name: str,
    severity: Severity,
    sentence: str,
    expectation: Expectation,
    finding: Callable[[Facts], str],
    *,
    where: Where = (),
    names_other: str | None = None,
    **arguments: Any,
) -> Rule:
    """The rule that `expectation` holds, with `arguments`, on the rows `where`."""
    return Rule(
        name=name,
        severity=severity,
        sentence=sentence,
        expectation=expectation,
        where=where,
        arguments=arguments,
        finding=finding,
        names_other=names_other,
    )


def size(facts: Facts) -> str:
    """Width and height of a file, such as 640x480."""
    return f"{facts['width']:.0f}x{facts['height']:.0f}"
