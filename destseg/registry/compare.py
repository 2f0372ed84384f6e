"""`destseg compare`: evaluates a candidate and the champion anew on one dataset version and keeps what came out."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from destseg import Error, files
from destseg.dataset.layout import GALLERY
from destseg.registry import comparison, evidence, images
from destseg.registry.addresses import fetch, find
from destseg.registry.changes import changes
from destseg.registry.connection import candidates, connect, explained
from destseg.registry.history import released_versions, succession
from destseg.registry.listing import address
from destseg.registry.register import CHALLENGER
from destseg.registry.turn_down import refusal
from destseg.storage import state, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A candidate's comparison with the present champion."""

    model_uri: str
    champion: str | None
    """The champion's address, None where there is none yet."""
    dataset_version: str
    run_id: str
    verdict: str
    synthetic: bool
    """Whether the defects are made, for lack of defect images."""
    metrics: dict[str, dict[str, float | None] | None]
    """Of `challenger` and `champion`, both measured on this dataset version."""
    created: bool
    """False where it was there before."""

    def __str__(self) -> str:
        again = "" if self.created else ", compared before"
        against = self.champion or "no champion"
        return f"{self.model_uri} against {against} on dataset version {self.dataset_version}{again}: {self.verdict}"


def compare(category: str, *, version: int | None = None, again: bool = False, root: Path = Path()) -> Compared:
    """Compares the challenger, or candidate `version`, with the champion on the dataset version in the clone `root`.

    Nothing happens where that was done before and its files are still there, unless `again`.
    """
    from destseg.evaluation.compare import compute  # seconds: it loads torch

    with explained(f"comparing {category}"):
        client = connect()
        alias, number = (CHALLENGER, None) if version is None else (None, str(version))
        candidate = find(client, candidates(category), alias=alias, version=number)
        champion = _champion(client, category)
        if champion is not None and _is(champion, candidate):
            raise Error(
                f"{address(candidate)} is the champion, as version {champion.version}; there is nothing to compare"
            )
        present = versions.dataset_version(root, category)
        if not again and (found := _found(candidate, champion, present)):
            return found
        pushed = state.check_dataset(root, category)
        packages = fetch(candidate), None if champion is None else fetch(champion)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            content = compute(category, *packages, folder, root=root)
            content["pushed"] = pushed
            known = _completed(content, category, candidate, champion, root, folder / GALLERY)
            files.write_text(folder / comparison.CONTENT, json.dumps(known, indent=1, allow_nan=False) + "\n")
            made = comparison.log(client, category, candidate, comparison.number(champion), folder)
    return _compared(candidate, champion, made, known, created=True)


def is_compared(client: "MlflowClient", category: str, candidate: "ModelVersion", dataset_version: str) -> bool:
    """Whether a candidate was compared with the present champion on this dataset version, and the files are whole."""
    return _found(candidate, _champion(client, category), dataset_version) is not None


def decided(client: "MlflowClient", category: str, candidate: "ModelVersion") -> str | None:
    """What was decided about a candidate, so that nothing is left to compare it for."""
    released = [one for one in released_versions(client, category) if _is(one, candidate)]
    if released:
        return f"released before, as version {released[-1].version}"
    return "turned down" if refusal(client, category, candidate) else None


def _champion(client: "MlflowClient", category: str) -> "ModelVersion | None":
    line = succession(released_versions(client, category))
    return line[-1] if line else None


def _is(champion: "ModelVersion", candidate: "ModelVersion") -> bool:
    return champion.tags.get("candidate_version") == str(candidate.version)


def _found(candidate: "ModelVersion", champion: "ModelVersion | None", present: str) -> Compared | None:
    """The comparison that is there, if it is with this champion, on this dataset version, and its files are whole."""
    try:
        made = comparison.reference(candidate)
        if made is None or (made.champion, made.dataset_version) != (comparison.number(champion), present):
            return None
        return _compared(candidate, champion, made, comparison.read(comparison.fetch(candidate, made)), created=False)
    except Error:  # gone or changed: made anew
        return None


def _compared(
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
    made: comparison.Reference,
    content: dict[str, Any],
    *,
    created: bool,
) -> Compared:
    return Compared(
        model_uri=address(candidate),
        champion=None if champion is None else address(champion),
        dataset_version=made.dataset_version,
        run_id=made.run_id,
        verdict=str(content["verdict"]),
        synthetic=bool(content["synthetic"]),
        metrics={role: content[role] and content[role]["metrics"] for role in ("challenger", "champion")},
        created=created,
    )


def _completed(
    content: dict[str, Any],
    category: str,
    candidate: "ModelVersion",
    champion: "ModelVersion | None",
    root: Path,
    gallery: Path,
) -> dict[str, Any]:
    """What was computed, and what the registry and the repository know of it."""
    models = {"challenger": candidate, "champion": champion}
    known = {role: {**content[role], **_origin(version)} for role, version in models.items() if version is not None}
    return {
        **content,
        "dataset_version": versions.dataset_version(root, category),
        "commit": versions.head(root),
        "clean": evidence.is_clean(root),
        **known,
        "trained_on": {
            role: None if version is None else _trained_on(version, content["images"])
            for role, version in models.items()
        },
        "changes": changes(root, category, champion, candidate, gallery),
    }


def _trained_on(version: "ModelVersion", rows: list[dict[str, Any]]) -> list[str] | None:
    """The images of the comparison that trained the model; None where the list of its images cannot be read.

    A dataset version has no image in both parts (`validate` sees to it), but the model may be of another version.
    """
    try:
        seen = {image.sha256 for image in images.read(images.fetch(version)) if image.part == "training"}
    except Error:
        return None
    return [row["name"] for row in rows if row["sha256"] in seen]


def _origin(version: "ModelVersion") -> dict[str, Any]:
    return {
        "address": address(version),
        "version": int(version.version),
        "dataset_version": version.tags["dataset_version"],
        "commit": version.tags["commit"],
    }
