"""What is different between champion and challenger: settings, images, code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from destseg import Error
from destseg.evaluation.pictures import add_contact_sheet
from destseg.registry import images, recorded
from destseg.registry.evidence import Lineage
from destseg.storage import versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NAMES = 60  # of added images, and of removed ones
COMMITS = 50
FILES = 200


@dataclass(frozen=True, kw_only=True)
class Code:
    """The commits between two models' code, the newest first, and the files that differ."""

    champion: str | None
    challenger: str | None
    commits: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    unknown: str = ""
    """Why nothing is known of what lies between."""


def changes(
    root: Path, category: str, champion: "ModelVersion | None", challenger: "ModelVersion", gallery: Path
) -> dict[str, Any]:
    """`changes` of comparison.json; the contact sheet of added images goes into the archive `gallery`.

    What cannot be told is empty, and `unknown` says of each part why.
    """
    unknown: dict[str, str] = {}

    def known(part: str, work: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return work()
        except Error as error:
            unknown[part] = str(error)
            return otherwise

    before = None if champion is None else known("champion", lambda: recorded.lineage(champion), None)
    after = known("challenger", lambda: recorded.lineage(challenger), None)
    code = _code(root, before, after)
    if code.unknown:
        unknown["code"] = code.unknown
    nothing = {"added": 0, "removed": 0, "added_names": [], "removed_names": [], "sheet": []}
    data = known("data", lambda: _data(root, category, champion, challenger, gallery), nothing)
    return {
        "params": _params(before, after) if before and after else [],
        "data": {**data, "from": before.dataset_version if before else None},
        "code": {name: value for name, value in vars(code).items() if name != "unknown"},
        "unknown": unknown,
    }


def _params(before: Lineage, after: Lineage) -> list[dict[str, Any]]:
    """Every setting whose value differs; None where a model has no such setting."""
    names = sorted({*before.params, *after.params})
    rows = [{"name": name, "champion": before.params.get(name), "challenger": after.params.get(name)} for name in names]
    return [row for row in rows if row["champion"] != row["challenger"]]


def _data(
    root: Path, category: str, champion: "ModelVersion | None", challenger: "ModelVersion", gallery: Path
) -> dict[str, Any]:
    """Images that the challenger saw and the champion did not, and the other way round."""
    former = {} if champion is None else _seen(champion)
    now = _seen(challenger)
    added = sorted((name, sha) for sha, name in now.items() if sha not in former)
    removed = sorted(name for sha, name in former.items() if sha not in now)
    return {
        "added": len(added),
        "removed": len(removed),
        "added_names": [name for name, _ in added[:NAMES]],
        "removed_names": removed[:NAMES],
        # Beside no champion every image is new: a sheet of them would show no change.
        "sheet": [] if champion is None else add_contact_sheet(gallery, category, dict(added), root),
    }


def _seen(version: "ModelVersion") -> dict[str, str]:
    return {image.sha256: image.name for image in images.read(images.fetch(version))}


def _code(root: Path, before: Lineage | None, after: Lineage | None) -> Code:
    commits = [None if one is None else one.commit for one in (before, after)]
    code = Code(champion=commits[0], challenger=commits[1])
    if before is None or after is None or before.commit == after.commit:
        return code
    if absent := [one.commit for one in (before, after) if versions.commit_of(root, one.commit) is None]:
        return Code(**{**vars(code), "unknown": f"commit {' and '.join(absent)} is not in this clone"})
    span = f"{before.commit}..{after.commit}"
    log = versions.git(root, "log", f"--max-count={COMMITS}", "--format=%h %s", span, "--").splitlines()
    files = versions.git(root, "diff", "--name-only", "--no-renames", before.commit, after.commit, "--").splitlines()
    return Code(**{**vars(code), "commits": log, "files": files[:FILES]})
