"""The rules checked by Great Expectations. Its suite is built in code: one read from disk loses some without a word."""

import logging
from collections.abc import Callable, Sequence
from functools import reduce
from operator import and_
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import core
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import Column, Condition

from destseg.dataset.manifest import Row
from destseg.dataset.splits import SplitSettings
from destseg.validation import exposure
from destseg.validation.expectations import rules
from destseg.validation.facts import NUMBERS, OBJECTS, facts_of
from destseg.validation.rule import Facts, Operator, Rule, Where
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import Finding, Outcome

_OPERATORS: dict[Operator, Callable[[Column, Any], Condition]] = {
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    ">": lambda column, value: column > value,
    "is there": lambda column, _: column.is_not_null(),
}
_SEVERITY = {"error": FailureSeverity.CRITICAL, "warning": FailureSeverity.WARNING}


def run(
    rows: Sequence[Row], split: SplitSettings, settings: ValidationSettings, newest: frozenset[str] = frozenset()
) -> tuple[list[Outcome], list[Finding]]:
    """Each rule's outcome on the manifest, and all that is wrong; `newest` has the SHA-256s of the last batch."""
    table = _table(facts_of(rows, split, settings, newest))
    known = rules(settings, split, has_batch=bool((table["batch"] == exposure.NEWEST).any()))
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # sets itself to INFO
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("manifest").add_dataframe_asset("files")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name="dataset", expectations=[_expectation(rule) for rule in known])
    checked = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    )
    results = {_name(result): result for result in checked.results}
    files = [{str(k): v for k, v in facts.items()} for facts in table.astype(object).to_dict("records")]
    outcomes, findings = [], []
    for rule in known:
        result = results[rule.name]
        if not result.result:
            raise RuntimeError(f"expectation {rule.name} did not run: {result.exception_info}")
        outcome, found = _judged(rule, bool(result.success), result.result, files)
        outcomes.append(outcome)
        findings.extend(found)
    return outcomes, findings


def _table(records: list[Facts]) -> pd.DataFrame:
    table = pd.DataFrame({"row": range(len(records))})
    for names, dtype in ((OBJECTS, "object"), (NUMBERS, "float64")):
        for name in names:
            table[name] = pd.Series([record.get(name) for record in records], dtype=dtype)
    return table


def _expectation(rule: Rule) -> Expectation:
    arguments = rule.arguments | {"row_condition": _condition(rule.where), "severity": _SEVERITY[rule.severity]}
    built: Expectation = getattr(core, rule.expectation)(
        meta={"rule": rule.name}, description=rule.sentence, **arguments
    )
    return built


def _condition(where: Where) -> Condition | None:
    conditions = [_OPERATORS[operator](Column(name), value) for name, operator, value in where]
    return reduce(and_, conditions) if conditions else None


def _name(result: ExpectationValidationResult) -> str:
    """Which rule a result belongs to: Great Expectations gives them back sorted by column."""
    config = result.expectation_config
    if config is None or config.meta is None:
        raise RuntimeError("Great Expectations gave a result without its configuration")
    return str(config.meta["rule"])


def _judged(rule: Rule, success: bool, result: dict[str, Any], files: list[Facts]) -> tuple[Outcome, list[Finding]]:
    if "observed_value" in result:
        return rule.of_all(result["observed_value"], success, files)
    wrong = [files[int(entry["row"])] for entry in result["unexpected_index_list"] or []]
    return rule.of_files(wrong, result["element_count"])
