"""How a candidate stands at the gates now: the same gates as at its promotion, on the same facts."""

import json
from pathlib import Path

from destseg.registry.gates import Facts, Gate, PromotionSettings, run
from destseg.registry.history import NOTHING
from destseg.registry.rest import Rest, Version
from destseg.review.artifacts import Artifacts
from destseg.review.comparison import Comparison, Reference
from destseg.settings import PARAMS, read_section


def judge(
    registry: Rest,
    artifacts: Artifacts,
    root: Path,
    category: str,
    version: Version,
    named: Reference | None,
    champion: Version | None,
) -> list[Gate]:
    """Every gate, by params.yaml of the checkout `root`."""
    settings = read_section("promotion", PromotionSettings, category=category, path=root / PARAMS)
    missing = absence(category, version, named, champion)
    comparison = None if missing or named is None else artifacts.comparison(registry, named)
    facts = Facts(
        tags=version.tags,
        parity=artifacts.parity(registry, version),
        comparison=None if comparison is None else content(comparison),
        missing=missing,
    )
    return run(settings, facts)


def absence(category: str, version: Version, named: Reference | None, champion: Version | None) -> str:
    """Why there is no comparison with the present champion, and what to do; empty where there is one."""
    remedy = f"run `destseg compare {category} --version {version.version}`"
    if named is None:
        return f"candidate {version.version} was not compared yet; {remedy}"
    now = NOTHING if champion is None else str(champion.version)
    if named.champion == now:
        return ""
    then, present = (f"champion {one}" if one != NOTHING else "no champion" for one in (named.champion, now))
    return f"candidate {version.version} was compared with {then}, there is {present} now; {remedy}"


def content(comparison: Comparison) -> dict[str, object]:
    """comparison.json as the gates read it, every part there and of its type."""
    found: dict[str, object] = json.loads(comparison.model_dump_json(by_alias=True))
    return found
