"""Another operating point: a new candidate with the same weights and a threshold that other false rejects allow."""

import dataclasses
import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.evaluation.calibrate import moved
from destseg.evaluation.metrics import Metrics
from destseg.files import sha256, write_text
from destseg.inference.package import with_calibration
from destseg.model.calibration import Calibration
from destseg.model.card import CARD, ModelCard
from destseg.registry import evidence, integrity
from destseg.registry.addresses import fetch, find
from destseg.registry.connection import account, candidates, connect, explained, log_model, released_experiment
from destseg.registry.history import released_versions, succession
from destseg.registry.listing import address
from destseg.registry.register import CHALLENGER, SUPERSEDED, by_key, log_registration, settle
from destseg.registry.released import RECALIBRATES, copy, inherited, recorded
from destseg.registry.turn_down import refusal
from destseg.text import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SETTING = "calibration.false_reject_rate"


@dataclass(frozen=True, kw_only=True)
class Recalibrated:
    """The candidate with the moved threshold."""

    model_uri: str
    version: int
    recalibrates: int
    """The candidate whose weights it has."""
    threshold: float
    before: float
    """That candidate's threshold."""
    created: bool
    """False when this was proposed before and still waits."""

    def __str__(self) -> str:
        again = "" if self.created else ", proposed before"
        moved = f"threshold {self.threshold:.6g} instead of {self.before:.6g}"
        return f"{self.model_uri}{again}: candidate {self.recalibrates} with {moved}; it has to be compared anew"


def recalibrate(
    category: str, *, rate: float, why: str, who: str | None = None, version: int | None = None
) -> Recalibrated:
    """Registers the challenger, or candidate `version`, with the threshold that `rate` allows, as the new challenger.

    `rate` is the share of its calibration images that may lie above the threshold. What was proposed before is proposed
    again once a newer candidate has superseded it; an Error if it was turned down, or is or was champion.
    """
    why, who = reason(why), account(who)
    rights = (
        f"EDIT on the registered models {candidates(category)} and {log_model(category)} and on the experiment "
        f"{released_experiment(category)}"
    )
    with explained(f"recalibrating {category}", rights=rights):
        client = connect()
        alias = CHALLENGER if version is None else None
        candidate = find(client, candidates(category), alias=alias, version=None if version is None else str(version))
        package = fetch(candidate)
        before = _calibration(package, address(candidate))
        after = moved(before, rate)
        if after.threshold == before.threshold:
            raise Error(
                f"{address(candidate)} has threshold {before.threshold:.6g}, which is what a false-reject rate of "
                f"{rate:g} allows; name another rate"
            )
        settle(client, category)  # what a kill left would hide that a newer candidate has superseded the former one
        key = _digest(f"{candidate.tags['training_key']} {after.threshold!r}")
        while former := by_key(client, category, key):
            _check_undecided(client, category, former)
            if SUPERSEDED not in former.tags:
                break
            key = _digest(f"{key} after candidate {former.version}")
        made = former
        if made is None:
            with tempfile.TemporaryDirectory() as temporary:
                fresh, files = Path(temporary) / "package", recorded(candidate, Path(temporary) / "record")
                with_calibration(package, after, fresh)
                tags = {
                    **inherited(candidate),
                    **_rewritten(files, candidate, after, rate, key),
                    "files": json.dumps(integrity.digests(fresh)),
                    RECALIBRATES: str(candidate.version),
                }
                made = copy(client, category, candidate, fresh, files, name=candidates(category), tags=tags)
        said = f"threshold of candidate {candidate.version} moved to a false-reject rate of {rate:g}: {why}"
        log_registration(client, category, made, why=said, who=who)
        settle(client, category)
    return Recalibrated(
        model_uri=address(made),
        version=int(made.version),
        recalibrates=int(candidate.version),
        threshold=after.threshold,
        before=before.threshold,
        created=former is None,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _check_undecided(client: "MlflowClient", category: str, former: "ModelVersion") -> None:
    """An Error if the candidate, which has the proposed operating point, was turned down or is or was champion."""
    if refused := refusal(client, category, former):
        raise Error(
            f"{refused}; it has the operating point that you propose: choose another one, or promote that candidate "
            "with --override and the reason"
        )
    line = succession(released_versions(client, category))
    if made := [one for one in line if one.tags.get("candidate_version") == str(former.version)]:
        state, remedy = "was", f"`destseg promote {category} --version {former.version}` promotes it again"
        if made[-1].version == line[-1].version:
            state, remedy = "is", "choose another one"
        raise Error(
            f"candidate {former.version} of {category} has the operating point that you propose and {state} champion, "
            f"as version {made[-1].version}; {remedy}"
        )


def _calibration(package: Path, of: str) -> Calibration:
    path = package / CARD
    found = ModelCard.from_json(path.read_text(encoding="utf-8"), str(path)).calibration
    if found is None:
        raise Error(f"{of} has no threshold that could be moved; train it with split.calibration_share above 0")
    return found


def _rewritten(
    folder: Path, candidate: "ModelVersion", calibration: Calibration, rate: float, key: str
) -> dict[str, str]:
    """Changes the candidate's evidence in `folder` where the threshold is in it; returns the tags that say so.

    The report stays the candidate's: what it says of curves and heatmaps holds, its verdicts are of the old threshold.
    """
    path = folder / evidence.LINEAGE
    lineage = evidence.Lineage(**json.loads(path.read_text(encoding="utf-8")))
    lineage = dataclasses.replace(lineage, training_key=key, params={**lineage.params, SETTING: rate})
    write_text(path, json.dumps(vars(lineage), indent=2, sort_keys=True))
    write_text(folder / "calibration.json", json.dumps(calibration.to_dict(), indent=1) + "\n")
    kept = {field.name for field in dataclasses.fields(Metrics)}  # no threshold is in them
    metrics = {name: value for name, value in json.loads(candidate.tags["metrics"]).items() if name in kept}
    return {
        "training_key": key,
        "params_hash": evidence.params_hash(lineage.params),
        "metrics": json.dumps(metrics),
        evidence.LINEAGE_TAG: sha256(path),
        "evidence": integrity.digest(integrity.digests(folder)),
    }
