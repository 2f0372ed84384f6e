"""How a category stands: its champion, the threshold, the data behind it, and what waits for a person."""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from destseg import Error
from destseg.evaluation.calibrate import CalibrationSettings, images_needed
from destseg.model.calibration import Calibration
from destseg.registry import turn_down
from destseg.registry.addresses import fetch
from destseg.registry.connection import candidates, connect, explained
from destseg.registry.evidence import CARD
from destseg.registry.history import released_versions, succession
from destseg.registry.listing import address, versions_of
from destseg.settings import PARAMS, categories, read_section
from destseg.storage import versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Severity = Literal["ok", "warning", "error"]
_ORDER: tuple[Severity, ...] = ("ok", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """From when on a person is to be told."""

    max_model_age_days: float = 180.0
    """Since the champion's model was first released."""
    max_data_age_days: float = 90.0
    """Since the dataset last changed."""
    max_wait_days: float = 7.0
    """Since a challenger that nobody has promoted was registered."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} is {getattr(self, field.name):g}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    severity: Severity
    about: Literal["champion", "threshold", "data", "challenger"]
    text: str

    def __str__(self) -> str:
        return f"{self.severity:<7}  {self.about}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Health:
    """How one category stands."""

    category: str
    severity: Severity
    """The worst of the findings."""
    findings: tuple[Finding, ...]
    champion: str | None
    model_age_days: float | None
    trained_on: str | None
    """Dataset version of the champion."""
    newest: str | None
    """Dataset version of the repository."""
    data_age_days: float | None
    challenger: str | None
    """A candidate newer than the champion's, which waits."""
    waiting_days: float | None

    def __str__(self) -> str:
        return "\n".join([f"{self.category}: {self.severity}", *(f"  {finding}" for finding in self.findings)])


@dataclass(frozen=True, kw_only=True)
class Report:
    """All categories that were looked at."""

    severity: Severity
    categories: tuple[Health, ...]

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.categories) or "no category yet"


def report(category: str | None = None, *, root: Path = Path()) -> Report:
    """The health of this category, or of all that params.yaml names."""
    names = [category] if category else categories(root / PARAMS)
    found = tuple(_looked_at(name, root) for name in names)
    return Report(severity=_worst([one.severity for one in found]), categories=found)


def _looked_at(category: str, root: Path) -> Health:
    """Its health; what keeps us from seeing it is a finding too, and hides no other category."""
    try:
        return health(category, root=root)
    except (Error, KeyError, ValueError) as error:  # a version that somebody made by hand lacks tags
        finding = Finding(severity="error", about="champion", text=f"cannot be looked at: {error!s}"[:500])
        return Health(
            category=category,
            severity="error",
            findings=(finding,),
            champion=None,
            model_age_days=None,
            trained_on=None,
            newest=None,
            data_age_days=None,
            challenger=None,
            waiting_days=None,
        )


def health(category: str, *, root: Path = Path(), now: datetime.datetime | None = None) -> Health:
    """How the category stands in the registry and in the repository `root`; whatever is wrong is a finding."""
    settings = read_section("monitor", MonitorSettings, category=category, path=root / PARAMS)
    now = now or datetime.datetime.now(datetime.UTC)
    with explained(f"looking at {category}"):
        client = connect()
        released = released_versions(client, category)
        line = succession(released)
        champion = line[-1] if line else None
        known = versions_of(client, candidates(category))
        challenger = known[-1] if known and _waits(known[-1], released) else None
        model_age = None if champion is None else _days(_first(champion, released).creation_timestamp / 1000, now)
        waiting = None if challenger is None else _days(challenger.creation_timestamp / 1000, now)
        findings = list(_champion(champion, model_age, settings))
    newest: str | None = None
    data_age: float | None = None
    try:
        newest, data_age = versions.dataset_version(root, category), _data_age(root, category, now)
        findings += _data(newest, data_age, champion, challenger, settings)
    except Error as error:
        findings.append(Finding(severity="error", about="data", text=str(error)))
    findings.append(_challenger(challenger, waiting, settings))
    return Health(
        category=category,
        severity=_worst([finding.severity for finding in findings]),
        findings=tuple(findings),
        champion=None if champion is None else address(champion),
        model_age_days=model_age,
        trained_on=None if champion is None else champion.tags["dataset_version"],
        newest=newest,
        data_age_days=data_age,
        challenger=None if challenger is None else address(challenger),
        waiting_days=waiting,
    )


def _champion(version: "ModelVersion | None", age: float | None, settings: MonitorSettings) -> Iterator[Finding]:
    if version is None or age is None:
        yield Finding(severity="warning", about="champion", text="there is none yet; `destseg promote` makes one")
        return
    text = f"{address(version)}, its model first released {age:.1f} days ago"
    if age > settings.max_model_age_days:
        text += f", more than monitor.max_model_age_days ({settings.max_model_age_days:g})"
    yield Finding(severity=_over(age, settings.max_model_age_days), about="champion", text=text)
    try:
        card = json.loads((fetch(version) / CARD).read_text(encoding="utf-8"))
        yield threshold(Calibration.from_dict(card["calibration"]) if card.get("calibration") else None)
    except (Error, OSError, ValueError, AttributeError) as error:
        yield Finding(severity="error", about="threshold", text=f"{address(version)} cannot be read: {error}")


def threshold(calibration: Calibration | None) -> Finding:
    """Whether the threshold is what a calibration gives, and from enough images for the rate that it is to keep."""
    if calibration is None:
        text = "the champion has none, and so gives no verdicts; set split.calibration_share above 0 and train again"
        return Finding(severity="warning", about="threshold", text=text)
    low, value, high = calibration.heat_low, calibration.threshold, calibration.heat_high
    if not low <= value <= high:
        text = f"{value:g} lies outside its colour range {low:g} to {high:g}; calibrate anew with `dvc repro`"
        return Finding(severity="error", about="threshold", text=text)
    rates = f"{calibration.images} images prove at most {calibration.provable_rate:.2%} false rejects"
    if calibration.provable_rate > calibration.target_rate:
        needed = images_needed(
            CalibrationSettings(false_reject_rate=calibration.target_rate, confidence=calibration.confidence)
        )
        text = f"{rates}, not the {calibration.target_rate:.2%} asked for; that takes {needed} calibration images"
        return Finding(severity="warning", about="threshold", text=text)
    return Finding(severity="ok", about="threshold", text=f"{value:g}; {rates}")


def _data(
    newest: str,
    age: float,
    champion: "ModelVersion | None",
    challenger: "ModelVersion | None",
    settings: MonitorSettings,
) -> Iterator[Finding]:
    text = f"the dataset last changed {age:.1f} days ago"
    if age > settings.max_data_age_days:
        text += f", more than monitor.max_data_age_days ({settings.max_data_age_days:g}): is the inbox being filled?"
    yield Finding(severity=_over(age, settings.max_data_age_days), about="data", text=text)
    if champion is not None and champion.tags["dataset_version"] == newest:
        yield Finding(severity="ok", about="data", text=f"the champion was trained on the newest version, {newest}")
    elif challenger is not None and challenger.tags.get("dataset_version") == newest:
        yield Finding(severity="ok", about="data", text=f"the challenger was trained on the newest version, {newest}")
    else:
        text = f"no champion or waiting challenger was trained on the newest version, {newest}; run the flow `retrain`"
        yield Finding(severity="warning", about="data", text=text)


def _challenger(version: "ModelVersion | None", waiting: float | None, settings: MonitorSettings) -> Finding:
    if version is None or waiting is None:
        return Finding(severity="ok", about="challenger", text="none waits")
    text = f"{address(version)} waits since {waiting:.1f} days for a person"
    if waiting > settings.max_wait_days:
        text += f", more than monitor.max_wait_days ({settings.max_wait_days:g})"
    return Finding(severity=_over(waiting, settings.max_wait_days), about="challenger", text=text)


def _waits(newest: "ModelVersion", released: "list[ModelVersion]") -> bool:
    """Whether it was neither released, nor turned down, nor registered again although it was trained before."""
    numbers = {version.tags.get("candidate_version") for version in released}
    keys = {version.tags.get("training_key") for version in released}
    unknown = str(newest.version) not in numbers and newest.tags.get("training_key") not in keys
    return unknown and turn_down.TAG not in newest.tags


def _first(champion: "ModelVersion", released: "list[ModelVersion]") -> "ModelVersion":
    """The first release of the champion's model: a rollback makes a new version of an old model."""
    number = champion.tags["candidate_version"]
    return next(version for version in released if version.tags.get("candidate_version") == number)


def _data_age(root: Path, category: str, now: datetime.datetime) -> float:
    path = versions.pointer(category).as_posix()
    said = versions.git(root, "log", "-1", "--format=%ct", "--", path).strip()
    if not said:
        raise Error(f"{path} is in no commit; commit it, so that it is known since when the dataset is as it is")
    return _days(float(said), now)


def _days(since: float, now: datetime.datetime) -> float:
    return (now.timestamp() - since) / 86400


def _over(days: float, limit: float) -> Severity:
    return "warning" if days > limit else "ok"


def _worst(severities: "list[Severity]") -> Severity:
    return max(severities, key=_ORDER.index, default="ok")
