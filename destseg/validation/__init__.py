"""The dataset's quality gate: a manifest checked by Great Expectations, its findings for people, and the page.

`validate` is the stage, `check` the same on any folder. Great Expectations is imported when a check runs, not before.
"""

from destseg.validation.settings import ValidationSettings
from destseg.validation.validate import check, validate
from destseg.validation.verdict import Finding, Outcome, Rejected, Verdict

__all__ = ["Finding", "Outcome", "Rejected", "ValidationSettings", "Verdict", "check", "validate"]
