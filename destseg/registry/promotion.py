"""Promotion and rollback: an act that creates a released version, with who and why, and moves the aliases."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import comparison, gates
from destseg.registry.addresses import fetch, find
from destseg.registry.connection import account, candidates, connect, explained, released, released_experiment
from destseg.registry.gates import Facts, Gate, PromotionSettings
from destseg.registry.history import NOTHING, released_versions, succession
from destseg.registry.register import CHALLENGER
from destseg.registry.released import release
from destseg.settings import PARAMS, read_section

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
PREVIOUS = "previous"


def rights(category: str) -> str:
    """What an account needs to change the champion."""
    return f"EDIT on the registered model {released(category)} and on the experiment {released_experiment(category)}"


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
    package, missing, compared = fetch(candidate), "", None
    try:
        compared = comparison.present(candidate, champion)
    except Error as error:
        missing = str(error)
    parity = package / "parity.json"
    facts = Facts(
        tags=candidate.tags,
        parity=parity.read_text(encoding="utf-8") if parity.is_file() else "",
        comparison=None if compared is None else comparison.read(compared),
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
    root: Path = Path(),
) -> Promotion:
    """Makes the challenger, or candidate `version`, the champion; a failed gate is an Error unless `override`."""
    why, who = _reason(why), who or account()
    settings = read_section("promotion", PromotionSettings, category=category, path=root / PARAMS)
    with explained(f"promoting {category}", rights=rights(category)):
        client = connect()
        alias = CHALLENGER if version is None else None
        candidate = find(client, candidates(category), alias=alias, version=None if version is None else str(version))
        line = settle(client, category)
        if line and line[-1].tags["candidate_version"] == str(candidate.version):
            return _promotion(line[-1], created=False)
        judged = judge(candidate, line[-1] if line else None, settings)
        if judged.failed and not override:
            said = "; ".join(f"{gate.name}: {gate.why}" for gate in judged.failed)
            failed = f"{len(judged.failed)} of {len(judged.gates)} gates"
            raise Error(
                f"candidate {candidate.version} of {category} fails {failed} ({said}); "
                f"train a better one, or promote it with --override and the reason"
            )
        tags = {
            "candidate_version": str(candidate.version),
            "replaces": str(line[-1].version) if line else NOTHING,
            "who": who,
            "why": why,
            "gates": json.dumps([asdict(gate) for gate in judged.gates]),
            "overridden": str(bool(judged.failed)).lower(),
        }
        return _count(client, category, release(client, category, candidate, judged.package, tags))


def rollback(category: str, *, why: str, who: str | None = None, to: int | None = None) -> Promotion:
    """Makes the champion before the present one, or released version `to`, champion again, as a new version.

    After a rollback the next one goes one further back, never forth again.
    """
    why, who = _reason(why), who or account()
    with explained(f"rolling {category} back", rights=rights(category)):
        client = connect()
        line = settle(client, category)
        by_number = {int(version.version): version for version in line}
        if not line:
            raise Error(f"{category} has no champion yet; promote one first")
        target = _before(line[-1], by_number) if to is None else to
        if target is None or target not in by_number or target == int(line[-1].version):
            known = ", ".join(str(number) for number in by_number if number != int(line[-1].version)) or "none"
            raise Error(f"{category} cannot be rolled back to version {target}; former champions: {known}")
        former = by_number[target]
        fetch(former)  # checks the SHA-256s: a model that was spoiled meanwhile must not come back
        tags = {
            **former.tags,
            "replaces": str(line[-1].version),
            "restores": str(former.version),
            "who": who,
            "why": why,
        }
        source = str(former.source)  # models:/m-<id> of the released experiment: the very files that were served
        created = client.create_model_version(
            released(category),
            source,
            run_id=former.run_id,
            model_id=source.removeprefix("models:/"),
            tags=tags,
            description=former.description,
        )
        return _count(client, category, created)


def settle(client: "MlflowClient", category: str) -> "list[ModelVersion]":
    """The champions in order; moves the aliases champion and previous to the last two where they are not there."""
    line = succession(released_versions(client, category))
    if line:
        aliases = client.get_registered_model(released(category)).aliases
        for alias, version in zip((CHAMPION, PREVIOUS), reversed(line[-2:]), strict=False):
            if str(aliases.get(alias)) != str(version.version):
                client.set_registered_model_alias(released(category), alias, version.version)
    return line


def _count(client: "MlflowClient", category: str, created: "ModelVersion") -> Promotion:
    """The promotion, if `created` follows the champion it was meant to replace; else an Error: someone was faster."""
    line = settle(client, category)
    for version in line:
        if version.version == created.version:
            return _promotion(version, created=True)
    raise Error(
        f"{category}: someone else changed the champion at the same time (it is version {line[-1].version} now); "
        f"version {created.version} does not count; look again and decide anew"
    )


def _promotion(version: "ModelVersion", *, created: bool) -> Promotion:
    tags = version.tags
    return Promotion(
        model_uri=f"models:/{version.name}/{version.version}",
        version=int(version.version),
        candidate=int(tags["candidate_version"]),
        replaces=None if tags["replaces"] == NOTHING else int(tags["replaces"]),
        gates=tuple(Gate(**gate) for gate in json.loads(tags["gates"])),
        created=created,
    )


def _before(version: "ModelVersion", by_number: "dict[int, ModelVersion]") -> int | None:
    """The champion before `version`, where a version that a rollback made counts as the one it restored."""
    original = version
    while "restores" in original.tags:
        original = by_number[int(original.tags["restores"])]
    replaced = original.tags["replaces"]
    return None if replaced == NOTHING else int(replaced)


def _reason(why: str) -> str:
    if not why.strip():
        raise Error("a promotion or rollback needs a reason; give it with --why")
    return why.strip()
