"""The checks of `dataset add` and `validate` on a trial's photographs, told in the person's own names."""

import logging
from typing import Any

from destseg import Error
from destseg.dataset.accepted import accepted_path
from destseg.files import remove
from destseg.ingest.check import shared_names
from destseg.trial.photographs import Photographs
from destseg.validation import plain
from destseg.validation.validate import validate
from destseg.validation.verdict import Rejected, counted

log = logging.getLogger(__name__)
_SHOWN = 40  # lines of each severity
_SAID_AT_THE_END = ("defects", "test-normals")


class Refused(Error):
    """Photographs that nothing is trained on. The text has all that is wrong, `to_dict` the same for programs."""

    def __init__(self, where: str, errors: list[str], warnings: list[str], settings: str) -> None:
        lines = [f"  {line}" for line in _shortened(errors)]
        if warnings:
            lines += ["Less grave:", *(f"  {line}" for line in _shortened(warnings))]
        head = f"{where} has {counted(len(errors), 'mistake')}; put them right and repeat the command:"
        last = f"Settings that are named in brackets may be set in {settings}, below `categories`."
        named = any("(validation." in line or "split." in line or "image." in line for line in (*errors, *warnings))
        super().__init__("\n".join([head, *lines, *([last] if named else [])]))
        self.errors, self.warnings = errors, warnings

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"accepted": False, "errors": self.errors, "warnings": self.warnings}


def check(category: str, photographs: Photographs, where: str, settings: str) -> None:
    """The stage `validate` in the working directory, without Great Expectations; Refused has every finding."""
    try:
        verdict = validate(category, by=plain.run)
    except Rejected as refusal:
        verdict = refusal.verdict
    errors = [photographs.told(finding) for finding in verdict.findings if finding.severity == "error"]
    errors += shared_names(photographs.files)
    found = [finding for finding in verdict.findings if finding.severity == "warning"]
    warnings = [photographs.told(finding) for finding in found if finding.expectation not in _SAID_AT_THE_END]
    if errors:
        remove(accepted_path(category))
        raise Refused(where, errors, warnings, settings)
    for line in _shortened(warnings):
        log.warning("%s", line)


def say_left_out(photographs: Photographs) -> None:
    """One line about what is not an image by its suffix."""
    if photographs.left_out:
        log.warning("left out, as not images by their suffix: %s", ", ".join(_shortened(list(photographs.left_out), 5)))


def _shortened(lines: list[str], most: int = _SHOWN) -> list[str]:
    return [*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])]
