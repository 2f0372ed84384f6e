"""What becomes of a challenger by itself: promotion.policy of params.yaml, asked after every retraining."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from destseg.registry import log
from destseg.registry.addresses import find
from destseg.registry.compare import Compared, compare, decided
from destseg.registry.connection import candidates, connect, explained
from destseg.registry.gates import Gate
from destseg.registry.history import released_versions, succession
from destseg.registry.promotion import judge, promote
from destseg.registry.promotion_settings import PromotionSettings
from destseg.registry.register import CHALLENGER
from destseg.registry.turn_down import refusal
from destseg.settings import PARAMS, read_section

logger = logging.getLogger(__name__)
GATES = "gates"  # the entry of the log
WHY = "promotion.policy auto: all gates passed"


@dataclass(frozen=True, kw_only=True)
class PolicyResult:
    """What the policy did, and how the challenger stands at the gates."""

    policy: Literal["review", "auto"]
    promoted: bool
    model_uri: str
    """The new champion, or the challenger that waits for a person."""
    gates: tuple[Gate, ...]
    """Empty for a challenger that was released before, or turned down."""
    reason: str

    def __str__(self) -> str:
        gates = [f"  {'passed' if gate.passed else 'FAILED'}  {gate.name}: {gate.why}" for gate in self.gates]
        state = "is the champion" if self.promoted else "is not promoted"
        return "\n".join([f"{self.model_uri} {state}: {self.reason}", *gates])


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The challenger's comparison, and what the policy did upon it."""

    comparison: Compared | None
    """None for a challenger that was released before, or turned down."""
    promotion: PolicyResult

    def __str__(self) -> str:
        return "\n".join(str(part) for part in (self.comparison, self.promotion) if part)


def compare_by_policy(category: str, *, root: Path = Path()) -> Decision:
    """`compare` for the challenger, then `promote_by_policy`; done again, it repeats neither."""
    with explained(f"reading the challenger of {category}"):
        client = connect()
        known = decided(client, category, find(client, candidates(category), alias=CHALLENGER))
    comparison = None if known else compare(category, root=root)
    if comparison:  # said now: what comes after it may fail
        logger.info("%s", comparison)
    return Decision(comparison=comparison, promotion=promote_by_policy(category, root))


def promote_by_policy(category: str, root: Path = Path()) -> PolicyResult:
    """Promotes the challenger if the policy is `auto` and it passes every gate; else it waits for a person."""
    settings = read_section("promotion", PromotionSettings, category=category, path=root / PARAMS)
    with explained(f"reading the challenger of {category}"):
        client = connect()
        challenger = find(client, candidates(category), alias=CHALLENGER)
        number = int(challenger.version)
        known = released_versions(client, category)
        before = [version for version in known if version.tags.get("candidate_version") == str(number)]
        line = succession(known)
        refused = None if before else refusal(client, category, challenger)
        verdict = () if before or refused else judge(challenger, line[-1] if line else None, settings).gates
        failed = [gate.name for gate in verdict if not gate.passed]
        if verdict and (failed or settings.policy == "review"):  # a promotion has an entry of its own
            content = {"gates": [asdict(gate) for gate in verdict]}
            log.append(client, category, event=GATES, subject=f"models:/{challenger.name}/{number}", content=content)
    address, reason, promoted = f"models:/{challenger.name}/{number}", WHY, False
    if before:  # it is the champion, or a person has put another in its place: that is not for a policy to undo
        reason = f"candidate {number} was released before, as version {before[-1].version}"
    elif refused:
        reason = f"{refused.who} turned it down: {refused.why}"
    elif failed:
        reason = f"{len(failed)} of {len(verdict)} gates failed ({', '.join(failed)}); a person decides"
    elif settings.policy == "review":
        reason = "all gates passed; promotion.policy is review, so a person decides"
    else:  # by its number: the alias may have moved to a newer candidate since
        address, promoted = promote(category, why=WHY, version=number, root=root).model_uri, True
    return PolicyResult(policy=settings.policy, promoted=promoted, model_uri=address, gates=verdict, reason=reason)
