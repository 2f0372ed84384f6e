"""What a check of a dataset says: findings by file, the outcome of each expectation, and accepted or not."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from destseg import Error
from destseg.text import printable

Severity = Literal["error", "warning"]
_RANK = {"error": 0, "warning": 1}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with one file, or with the dataset as a whole (`file` is None)."""

    severity: Severity
    file: str | None
    expectation: str
    text: str
    other: str | None = None
    """The file that this one is held against, where the text names one."""

    def __str__(self) -> str:
        return printable(f"{self.file or 'dataset'}: {self.text}")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One expectation and what was observed."""

    name: str
    severity: Severity
    sentence: str
    success: bool
    observed: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a check: what validation.json holds. Errors refuse the dataset, warnings travel on with it."""

    category: str
    accepted: bool
    errors: int
    warnings: int
    training: int
    """Normal images that train the model; 0 when the dataset is refused."""
    calibration: int
    """Normal images held out for the threshold."""
    counts: dict[str, int]
    """Images and masks by folder, such as train/good or ground_truth/crack."""
    findings: tuple[Finding, ...]
    """By file, the files with errors first."""
    expectations: tuple[Outcome, ...]
    ignored: tuple[str, ...]
    """Files that no stage looks at: dotfiles, Thumbs.db, the texts that MVTec AD ships."""

    def __str__(self) -> str:
        """What happened in one line, then the findings."""
        parts = f"{self.training} images for training, {self.calibration} for calibration"
        head = f"{self.category}: accepted, {parts}" if self.accepted else f"{self.category}: refused"
        return "\n".join([head, *(f"  {finding.severity}: {finding}" for finding in self.findings)])


class Rejected(Error):
    """A dataset with errors. The text names the first of them, `verdict` holds all."""

    def __init__(self, verdict: Verdict, page: Path, lines: int = 20) -> None:
        errors = [finding for finding in verdict.findings if finding.severity == "error"]
        listed = [f"  {finding}" for finding in errors[:lines]]
        if len(errors) > lines:
            listed.append(f"  and {len(errors) - lines} more")
        head = f"{verdict.category} has {counted(len(errors), 'error')}; put them right and repeat the command"
        super().__init__("\n".join([f"{head}:", *listed, f"All findings, with pictures: {page}"]))
        self.verdict = verdict
        self.summary = f"{head}. The findings with pictures: {page}"


def by_file(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those with errors first, the dataset as a whole before its files; errors first in each."""
    known = list(findings)
    worst: dict[str, int] = {}
    for finding in known:
        file = finding.file or ""
        worst[file] = min(worst.get(file, 9), _RANK[finding.severity])
    return tuple(
        sorted(known, key=lambda f: (worst[f.file or ""], f.file or "", _RANK[f.severity], f.expectation, f.text))
    )


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
