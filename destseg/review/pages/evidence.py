"""A candidate with its comparison, for whoever may read the version now."""

from collections.abc import Sequence
from dataclasses import dataclass

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.registry.comparison import Reference, reference
from destseg.registry.connection import candidates
from destseg.registry.gates import Gate
from destseg.registry.rest import Absent, Forbidden, Version
from destseg.review.comparison import Comparison
from destseg.review.desk import Desk
from destseg.review.judging import judge
from destseg.review.sessions import Session

FRESH = 10.0  # seconds: a page asks for dozens of pictures at once, and each request must be allowed


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the decision rests on."""

    version: Version
    named: Reference
    comparison: Comparison


def candidate(session: Session, category: str, number: int) -> Version:
    """The version, if the caller may read it: asked of the registry, or known from a few seconds ago."""
    check_category(category)
    name = candidates(category)
    return session.memory.get(("version", name, number), FRESH, lambda: session.registry.version(name, number))


@dataclass(frozen=True, kw_only=True)
class Stand:
    """How a candidate stands at the gates now."""

    gates: Sequence[Gate]
    named: Reference | None
    """The comparison that it names."""
    doubt: str = ""
    """Why the gates could not be run here."""

    @property
    def failed(self) -> list[str]:
        """Names of the gates that it does not pass."""
        return [gate.name.replace("_", " ") for gate in self.gates if not gate.passed]


def stand(desk: Desk, session: Session, category: str, version: Version, champion: Version | None) -> Stand:
    """Runs the gates on what the registry has, for a caller who may read the version."""
    try:
        named = reference(version)
    except Error as error:
        return Stand(gates=(), named=None, doubt=str(error))
    try:
        gates = judge(session.registry, desk.artifacts, desk.root, category, version, named, champion)
    except (Absent, Forbidden) as error:
        return Stand(gates=(), named=named, doubt=f"its files cannot be read: {error}")
    except Error as error:  # of params.yaml, or of files that are not what they should be
        return Stand(gates=(), named=named, doubt=str(error))
    return Stand(gates=gates, named=named)


def evidence(desk: Desk, session: Session, category: str, number: int) -> Evidence:
    """Version and comparison; an Error where there is none."""
    version = candidate(session, category, number)
    named = reference(version)
    if named is None:
        raise Error(f"candidate {number} of {category} was not compared yet; `destseg compare {category}` does it")
    found = desk.artifacts.comparison(session.registry, named)
    if found.category != category:
        raise Error(f"the comparison of candidate {number} is one of {found.category}, expected {category}")
    return Evidence(version=version, named=named, comparison=found)


def compared(desk: Desk, session: Session, category: str, named: Reference | None) -> tuple[Comparison | None, str]:
    """The comparison that a version names, or why there is none to see."""
    if named is None:
        return None, ""
    try:
        found = desk.artifacts.comparison(session.registry, named)
    except (Absent, Forbidden):
        return None, "The files of its comparison are not in the registry, or not for you to read."
    except Error as error:
        return None, str(error)
    return (found, "") if found.category == category else (None, f"Its comparison is one of {found.category}.")
