"""How a candidate stands at the gates now: the same gates as at its promotion, on the same facts."""

import json
from pathlib import Path

from destseg.registry import comparison
from destseg.registry.comparison import Reference
from destseg.registry.gates import Facts, Gate, mismatch, run
from destseg.registry.history import NOTHING
from destseg.registry.promotion_settings import PromotionSettings
from destseg.registry.rest import Rest, Version
from destseg.review.artifacts import Artifacts
from destseg.review.comparison import Comparison
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
    compared = None if missing or named is None else content(artifacts.comparison(registry, named))
    if compared is not None:
        missing = mismatch(compared, version.address, "" if champion is None else champion.address)
    facts = Facts(
        tags=version.tags,
        parity=artifacts.parity(registry, version),
        comparison=None if missing else compared,
        missing=missing,
    )
    return run(settings, facts)


def absence(category: str, version: Version, named: Reference | None, champion: Version | None) -> str:
    """Why there is no comparison with the present champion, and what to do; empty where there is one."""
    now = NOTHING if champion is None else str(champion.version)
    return comparison.absence(category, version.version, None if named is None else named.champion, now)


def content(compared: Comparison) -> dict[str, object]:
    """comparison.json as the gates read it, every part there and of its type."""
    found: dict[str, object] = json.loads(compared.model_dump_json(by_alias=True))
    return found
