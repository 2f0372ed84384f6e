"""The rules checked without Great Expectations, for where its seconds of loading would be most of the wait."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from destseg.dataset.manifest import Row
from destseg.dataset.splits import SplitSettings
from destseg.validation import exposure
from destseg.validation.expectations import rules
from destseg.validation.facts import facts_of
from destseg.validation.rule import Facts, Rule, Where
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import Finding, Outcome


def run(
    rows: Sequence[Row], split: SplitSettings, settings: ValidationSettings, newest: frozenset[str] = frozenset()
) -> tuple[list[Outcome], list[Finding]]:
    """What `suite.run` gives, to the last word."""
    files = facts_of(rows, split, settings, newest)
    has_batch = any(facts["batch"] == exposure.NEWEST for facts in files)
    outcomes, findings = [], []
    for rule in rules(settings, split, has_batch=has_batch):
        outcome, found = _judged(rule, files)
        outcomes.append(outcome)
        findings.extend(found)
    return outcomes, findings


def _judged(rule: Rule, files: list[Facts]) -> tuple[Outcome, list[Finding]]:
    looked_at = [facts for facts in files if _holds(rule.where, facts)]
    column = rule.arguments.get("column", "")
    known = [facts[column] for facts in looked_at if column and facts[column] is not None]
    if observe := _OBSERVED.get(rule.expectation):
        observed = observe(looked_at, known)
        return rule.of_all(observed, _between(rule.arguments, observed), files)
    right = _RIGHT[rule.expectation]
    return rule.of_files([facts for facts in looked_at if not right(rule.arguments, facts[column])], len(looked_at))


def _holds(where: Where, facts: Facts) -> bool:
    """A value that is not known is equal to none and above none."""
    found = {name: facts[name] for name, _, _ in where}
    return all(
        found[name] is not None
        if operator == "is there"
        else found[name] != value
        if operator == "!="
        else found[name] is not None and (found[name] > value if operator == ">" else found[name] == value)
        for name, operator, value in where
    )


def _between(limits: Facts, value: Any) -> bool:
    if value is None:
        return True
    low, high = limits.get("min_value"), limits.get("max_value")
    above = low is None or (value > low if limits.get("strict_min") else value >= low)
    return bool(above and (high is None or value <= high))


# A value that is not known (None) is only wrong where it must be.
_RIGHT: dict[str, Callable[[Facts, Any], bool]] = {
    "ExpectColumnValuesToBeNull": lambda _, value: value is None,
    "ExpectColumnValuesToNotBeNull": lambda _, value: value is not None,
    "ExpectColumnValuesToBeInSet": lambda arguments, value: value is None or value in arguments["value_set"],
    "ExpectColumnValuesToNotBeInSet": lambda arguments, value: value not in arguments["value_set"],
    "ExpectColumnValuesToBeBetween": _between,
}
_OBSERVED: dict[str, Callable[[list[Facts], list[Any]], Any]] = {
    "ExpectTableRowCountToBeBetween": lambda looked_at, _: len(looked_at),
    "ExpectColumnUniqueValueCountToBeBetween": lambda _, known: len(set(known)),
    "ExpectColumnMedianToBeBetween": lambda _, known: median(known) if known else None,
}
