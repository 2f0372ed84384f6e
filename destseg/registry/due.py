"""`destseg due`: what a retraining has left to do for the dataset version in a clone, by git and the registry."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from destseg.registry import log
from destseg.registry.addresses import find
from destseg.registry.compare import decided, is_compared
from destseg.registry.comparison import COMPARED
from destseg.registry.connection import candidates, connect, explained
from destseg.registry.listing import address
from destseg.registry.promotion import PROMOTING
from destseg.registry.register import CHALLENGER, LOG_TAG, by_key
from destseg.storage import stages, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Due:
    """What the repository would train now, and how far that has come."""

    dataset_version: str
    training_key: str
    model_uri: str | None
    """The candidate that came from the same data, params and code."""
    left: Literal["train", "register", "compare", "decide"] | None
    """The next step, which was not begun or was cut short. None: the gates were asked, or a person has decided."""
    reason: str

    def __str__(self) -> str:
        return f"dataset version {self.dataset_version}: {self.left or 'nothing'} is left to do, {self.reason}"


def due(category: str, *, root: Path = Path()) -> Due:
    """What is left to do for the repository as it stands at `root`; the dataset itself need not be there."""
    key, dataset_version = stages.training_key(root, category), versions.dataset_version(root, category)
    with explained(f"looking what is left to do for {category}"):
        client = connect()
        candidate = by_key(client, category, key)
        left, reason = _left(client, category, candidate, dataset_version)
    return Due(
        dataset_version=dataset_version,
        training_key=key,
        model_uri=None if candidate is None else address(candidate),
        left=left,
        reason=reason,
    )


def _left(
    client: "MlflowClient", category: str, candidate: "ModelVersion | None", dataset_version: str
) -> tuple[Literal["train", "register", "compare", "decide"] | None, str]:
    """The next step, and why it is due."""
    if candidate is None:
        return "train", "as this was not trained and registered yet"
    alias = client.get_registered_model(candidates(category)).aliases.get(CHALLENGER, 0)
    if LOG_TAG not in candidate.tags or int(alias) < int(candidate.version):
        return "register", f"as the registration of {address(candidate)} was cut short"
    challenger = find(client, candidates(category), alias=CHALLENGER)
    subject = address(challenger)
    if before := decided(client, category, challenger):
        return None, f"{subject} was {before}"
    if not is_compared(client, category, challenger, dataset_version):
        return "compare", f"as {subject} was not compared with the present champion on it"
    events = [one.event for one in log.read(client, category) if one.subject == subject]
    if events and events[-1] in (COMPARED, PROMOTING):
        return "decide", f"as {subject} was compared, but not judged since, or its promotion was cut short"
    return None, f"{subject} was compared and judged"
