"""Promotion and rollback: an act that creates a released version, with who and why, and moves the aliases."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from destseg import Error
from destseg.registry import comparison, gates, log
from destseg.registry.addresses import fetch, find
from destseg.registry.connection import (
    account,
    candidates,
    connect,
    explained,
    log_model,
    released,
    released_experiment,
)
from destseg.registry.gates import Facts, Gate
from destseg.registry.history import NOTHING, former, settle
from destseg.registry.listing import address
from destseg.registry.promotion_settings import PromotionSettings
from destseg.registry.register import CHALLENGER, LOG_TAG
from destseg.registry.released import inherited, release
from destseg.registry.turn_down import refusal
from destseg.settings import PARAMS, read_section
from destseg.text import reason

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


# Events of the log: what is about to be done, and that it was done.
PROMOTING, PROMOTED = "promoting", "promoted"
ROLLING_BACK, ROLLED_BACK = "rolling-back", "rolled-back"
BLOCKED = "blocked"


def rights(category: str) -> str:
    """What an account needs to change the champion."""
    return (
        f"EDIT on the registered models {released(category)} and {log_model(category)} and on the experiment "
        f"{released_experiment(category)}"
    )


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate, its checked files, and how it stands at the gates."""

    candidate: "ModelVersion"
    package: Path
    comparison: Path | None
    """The checked files of its comparison with the present champion, None where there is none."""
    gates: tuple[Gate, ...]

    @property
    def failed(self) -> list[Gate]:
        """The gates that it did not pass."""
        return [gate for gate in self.gates if not gate.passed]


def judge(candidate: "ModelVersion", champion: "ModelVersion | None", settings: PromotionSettings) -> Judged:
    """Downloads the candidate's package and its comparison with the present champion, and runs every gate."""
    package, missing, compared, content = fetch(candidate), "", None, None
    try:
        compared = comparison.present(candidate, champion)
        content = comparison.read(compared)
        missing = gates.mismatch(content, address(candidate), "" if champion is None else address(champion))
    except Error as error:
        missing = str(error)
    if missing:
        compared = content = None
    parity = package / "parity.json"
    facts = Facts(
        tags=candidate.tags,
        parity=parity.read_text(encoding="utf-8", errors="replace") if parity.is_file() else "",
        comparison=content,
        missing=missing,
    )
    verdict = gates.run(settings, facts)
    return Judged(candidate=candidate, package=package, comparison=compared, gates=tuple(verdict))


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A champion and how it became one."""

    model_uri: str
    version: int
    candidate: int
    replaces: int | None
    gates: tuple[Gate, ...]
    created: bool
    """False when this candidate is the champion already."""

    def __str__(self) -> str:
        if not self.created:
            return f"{self.model_uri} is the champion already"
        former = f"in place of version {self.replaces}" if self.replaces else "the first champion"
        gates = [f"  {'passed' if gate.passed else 'FAILED'}  {gate.name}: {gate.why}" for gate in self.gates]
        return "\n".join([f"{self.model_uri} is the champion, {former} (candidate {self.candidate})", *gates])


def promote(
    category: str,
    *,
    why: str,
    who: str | None = None,
    version: int | None = None,
    override: bool = False,
    replaces: str | None = None,
    compared: str | None = None,
    root: Path = Path(),
) -> Promotion:
    """Makes the challenger, or candidate `version`, the champion; a failed gate is an Error unless `override`.

    `replaces` is the champion that the person saw, a released version or "none": an Error if it is another by now.
    `compared` is the SHA-256 of the comparison.json that the person saw, or "none": an Error likewise.
    """
    why, who = reason(why), account(who)
    settings = read_section("promotion", PromotionSettings, category=category, path=root / PARAMS)
    with explained(f"promoting {category}", rights=rights(category)):
        client = connect()
        alias = CHALLENGER if version is None else None
        candidate = find(client, candidates(category), alias=alias, version=None if version is None else str(version))
        line = settle(client, category)
        _check_champion(category, line, replaces)
        if line and line[-1].tags.get("candidate_version") == str(candidate.version):
            return _promotion(line[-1], created=False)
        if compared is not None and compared != comparison.digest(candidate):
            raise Error(
                f"candidate {candidate.version} of {category} was compared anew since this was decided; look at it "
                "again and decide anew"
            )
        turned_down = refusal(client, category, candidate)
        if turned_down and not override:
            raise Error(f"{turned_down}; choose another one, or promote it with --override and the reason")
        judged = judge(candidate, line[-1] if line else None, settings)
        content = {
            "gates": [asdict(gate) for gate in judged.gates],
            "comparison": candidate.tags.get(comparison.TAG, ""),
            "overridden": bool(judged.failed or turned_down) and override,
        }
        if judged.failed and not override:
            log.append(client, category, event=BLOCKED, subject=address(candidate), content=content, why=why, who=who)
            said = "; ".join(f"{gate.name}: {gate.why}" for gate in judged.failed)
            failed = f"{len(judged.failed)} of {len(judged.gates)} gates"
            raise Error(
                f"candidate {candidate.version} of {category} fails {failed} ({said}); "
                f"train a better one, or promote it with --override and the reason"
            )
        tags = {
            **inherited(candidate),
            "candidate_version": str(candidate.version),
            "replaces": str(line[-1].version) if line else NOTHING,
            "who": who,
            "why": why,
            "gates": json.dumps(content["gates"]),
            "overridden": str(content["overridden"]).lower(),
        }
        if judged.comparison is not None:
            tags[comparison.TAG] = comparison.release(client, category, candidate, judged.comparison).to_tag()
        intent = _intend(client, category, PROMOTING, candidate, tags, content)
        return _count(client, category, release(client, category, candidate, judged.package, tags | intent), PROMOTED)


def rollback(
    category: str, *, why: str, who: str | None = None, to: int | None = None, replaces: str | None = None
) -> Promotion:
    """Makes the champion before the present one, or released version `to`, champion again, as a new version.

    After a rollback the next one goes one further back, never forth again. `replaces` as for `promote`.
    """
    why, who = reason(why), account(who)
    with explained(f"rolling {category} back", rights=rights(category)):
        client = connect()
        line = settle(client, category)
        _check_champion(category, line, replaces)
        if not line:
            raise Error(f"{category} has no champion yet; promote one first")
        others = {int(version.version): version for version in line[:-1]}
        target = former(line) if to is None else others.get(to)
        if target is None:
            where = "further" if to is None else f"to version {to}"
            known = ", ".join(map(str, others)) or "none"
            raise Error(f"{category} cannot be rolled back {where}; former champions: {known}")
        fetch(target)  # checks the SHA-256s: a model that was spoiled meanwhile must not come back
        tags = {
            **target.tags,
            "replaces": str(line[-1].version),
            "restores": str(target.version),
            "who": who,
            "why": why,
        }
        tags.pop(LOG_TAG, None)
        intent = _intend(client, category, ROLLING_BACK, target, tags, {})
        source = str(target.source)  # models:/m-<id> of the released experiment: the very files that were served
        created = client.create_model_version(
            released(category),
            source,
            run_id=target.run_id,
            model_id=source.removeprefix("models:/"),
            tags=tags | intent,
            description=target.description,
        )
        return _count(client, category, created, ROLLED_BACK)


def _check_champion(category: str, line: "list[ModelVersion]", expected: str | None) -> None:
    present = str(line[-1].version) if line else NOTHING
    if expected is not None and expected != present:
        state = f"version {present} by {line[-1].tags.get('who')}" if line else "none yet"
        raise Error(
            f"{category}: the champion is {state}, not {expected} as it was when this was decided; look again and "
            "decide anew"
        )


def _intend(
    client: "MlflowClient",
    category: str,
    event: str,
    subject: "ModelVersion",
    tags: Mapping[str, str],
    content: Mapping[str, Any],
) -> dict[str, str]:
    """Writes into the log what is about to be released, and returns the tag that ties the version to it."""
    entry = log.append(
        client,
        category,
        event=event,
        subject=address(subject),
        content={**content, "replaces": tags["replaces"], "tags": log.fingerprints(tags)},
        why=tags["why"],
        who=tags["who"],
    )
    return {LOG_TAG: entry.hash}


def _count(client: "MlflowClient", category: str, created: "ModelVersion", event: str) -> Promotion:
    """The promotion, if `created` follows the champion it was meant to replace; else an Error: someone was faster."""
    line = settle(client, category, created=created)
    for version in line:
        if version.version == created.version:
            tags, content = version.tags, {"intent": version.tags[LOG_TAG]}  # whose version is not missed if deleted
            log.append(
                client,
                category,
                event=event,
                subject=address(version),
                content=content,
                why=tags["why"],
                who=tags["who"],
            )
            return _promotion(version, created=True)
    raise Error(
        f"{category}: someone else changed the champion at the same time (it is version {line[-1].version} now); "
        f"version {created.version} does not count; look again and decide anew"
    )


def _promotion(version: "ModelVersion", *, created: bool) -> Promotion:
    tags = version.tags
    return Promotion(
        model_uri=address(version),
        version=int(version.version),
        candidate=int(tags["candidate_version"]),
        replaces=None if tags["replaces"] == NOTHING else int(tags["replaces"]),
        gates=tuple(Gate(**gate) for gate in json.loads(tags["gates"])),
        created=created,
    )
