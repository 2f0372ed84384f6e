"""One Great Expectations suite per dataset, built in code: a suite read from disk loses expectations without a word."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

from destseg.dataset.images import MODES
from destseg.dataset.layout import GOOD
from destseg.dataset.manifest import Row, mask_path
from destseg.dataset.splits import SplitSettings, is_calibration
from destseg.validation import exposure
from destseg.validation.expectations import rules
from destseg.validation.likeness import nearest
from destseg.validation.rule import Facts, Rule, size
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import Finding, Outcome, counted

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
_COLOURS = {"RGB": "RGB"} | dict.fromkeys(("1", "L", "I", "I;16", "I;16B", "I;16L"), "grey")  # a palette may be either
# The table's columns. Text and truth values stay Python objects: a column may hold nothing but None.
_OBJECTS = (
    *("path", "split", "kind", "role", "part", "sha256", "format", "suffix_is_format", "mode", "colour", "error"),
    *("duplicate_of", "leak_of", "near_duplicate_of", "pixels", "batch", "partner", "partner_size", "mask"),
    *("twin", "marks_defect", "same_size", "two_values"),
)
_NUMBERS = ("width", "height", "short_side", "long_side", "mean", "std", "saturated", "share", "scaled_pixels")
_DEVIATIONS = tuple(f"{name}_z" for name in exposure.MEASURES)


def run(
    rows: Sequence[Row], split: SplitSettings, settings: ValidationSettings, newest: frozenset[str] = frozenset()
) -> tuple[list[Outcome], list[Finding]]:
    """Each rule's outcome on the manifest, and all that is wrong; `newest` has the SHA-256s of the last batch."""
    table = frame(rows, split, settings, newest)
    known = rules(settings, split, has_batch=bool((table["batch"] == exposure.NEWEST).any()))
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)  # sets itself to INFO
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("manifest").add_dataframe_asset("files")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": table})
    suite = gx.ExpectationSuite(name="dataset", expectations=[rule.expectation for rule in known])
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
        outcomes.append(_outcome(rule, bool(result.success), result.result))
        if not result.success:
            findings.extend(_findings(rule, result.result, files))
    return outcomes, findings


def frame(
    rows: Sequence[Row], split: SplitSettings, settings: ValidationSettings, newest: frozenset[str]
) -> pd.DataFrame:
    """The manifest as a table, with what follows about a file from the others; `row` is its place in the manifest."""
    records = [_own(row, split) | {"row": index} for index, row in enumerate(rows)]
    images = [record for record in records if record["role"] == "image"]
    images.sort(key=lambda record: (record["split"] != "train", record["path"]))  # what train/ holds came first
    sizes = {image["path"]: size(image) for image in images if image["width"] is not None}
    same_bytes: dict[str, str] = {}
    same_mask: dict[str, str] = {}
    for image in images:
        if image["bytes"] and (first := same_bytes.setdefault(image["sha256"], image["path"])) != image["path"]:
            image["duplicate_of"] = first
        if image["partner"] and (first := same_mask.setdefault(image["partner"], image["path"])) != image["path"]:
            image["twin"] = first
    exposure.compare(images, newest)
    if settings.near_duplicate:
        _compare(images, settings.near_duplicate)
    for record in records:
        record["partner_size"] = sizes.get(record["partner"])
    table = pd.DataFrame({"row": range(len(records))})
    for names, dtype in ((_OBJECTS, "object"), ((*_NUMBERS, *_DEVIATIONS), "float64")):
        for name in names:
            table[name] = pd.Series([record.get(name) for record in records], dtype=dtype)
    return table


def _compare(images: Sequence[Facts], limit: float) -> None:
    """Enters `leak_of` and `near_duplicate_of`; the same bytes are another finding."""
    shown = [image for image in images if image["thumbnail"] and not image.get("duplicate_of")]
    groups = [int(image["split"] != "train") for image in shown]
    for image, group, near in zip(shown, groups, nearest([i["thumbnail"] for i in shown], groups, limit), strict=True):
        if group in near:
            image["near_duplicate_of"] = shown[near[group]]["path"]
        if group and 0 in near:
            image["leak_of"] = shown[near[0]]["path"]


def _own(row: Row, split: SplitSettings) -> Facts:
    """What the table says of a file by itself."""
    facts: Facts = asdict(row) | {"path": row.name}
    if row.role in ("stranger", "ignored"):
        facts["error"] = None
    if row.width is not None and row.height is not None:
        facts |= {"short_side": min(row.width, row.height), "long_side": max(row.width, row.height)}
    if row.format is not None and row.role == "image":
        facts["suffix_is_format"] = PurePosixPath(row.path).suffix.lower() in _SUFFIXES[row.format]
    if row.role == "mask":
        facts["marks_defect"] = row.partner is not None and row.kind != GOOD
    if row.role != "image":
        return facts
    facts["mask"] = mask_path(row)
    if row.mode is not None and row.mode not in MODES:
        return facts | {"error": None}  # the mode is the finding
    if row.error is None:
        facts["colour"] = _COLOURS.get(row.mode or "")
        facts["pixels"] = size(facts)
        if (row.split, row.kind) == ("train", GOOD):
            facts["part"] = "calibration" if is_calibration(row.sha256, split.calibration_share) else "training"
    return facts


def _name(result: ExpectationValidationResult) -> str:
    """Which rule a result belongs to: Great Expectations gives them back sorted by column."""
    config = result.expectation_config
    if config is None or config.meta is None:
        raise RuntimeError("Great Expectations gave a result without its configuration")
    return str(config.meta["rule"])


def _outcome(rule: Rule, success: bool, result: dict[str, Any]) -> Outcome:
    if "observed_value" in result:
        observed = str(result["observed_value"])
    else:
        against, count = result["unexpected_count"], result["element_count"]
        observed = f"{against} of {counted(count, 'file')} against it" if against else counted(count, "file")
    return Outcome(name=rule.name, severity=rule.severity, sentence=rule.sentence, success=success, observed=observed)


def _findings(rule: Rule, result: dict[str, Any], files: list[Facts]) -> list[Finding]:
    if "observed_value" in result:
        text = rule.finding({"observed": result["observed_value"], "files": files})
        return [Finding(severity=rule.severity, file=None, expectation=rule.name, text=text)]
    wrong = [files[int(entry["row"])] for entry in result["unexpected_index_list"]]
    return [
        Finding(
            severity=rule.severity,
            file=facts["path"],
            expectation=rule.name,
            text=rule.finding(facts),
            other=facts[rule.names_other] if rule.names_other else None,
        )
        for facts in wrong
    ]
