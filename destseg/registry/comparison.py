"""The record of a comparison: files of a run of their own, which one tag on the candidate names with their SHA-256s."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from destseg import Error
from destseg.dataset.layout import GALLERY
from destseg.registry import integrity
from destseg.registry.addresses import kept
from destseg.registry.connection import experiment, released, released_experiment
from destseg.registry.history import NOTHING
from destseg.registry.listing import Versioned, address
from destseg.registry.log import append
from destseg.storage import memo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TAG = "comparison"
COMPARED = "compared"  # the entry of the log
FOLDER = "comparison"  # of the run's files
CONTENT = "comparison.json"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the tag says: which comparison of this candidate counts, and with what it was compared."""

    run_id: str
    champion: str
    """Version of the released model, or `none`."""
    dataset_version: str
    files: dict[str, str]
    """SHA-256 of each file."""

    def to_tag(self) -> str:
        """The value of the tag."""
        return json.dumps(asdict(self), sort_keys=True)


def reference(version: Versioned) -> Reference | None:
    """The comparison that the version's tag names; None where it has none; an Error where destseg did not write it."""
    text = version.tags.get(TAG)
    if text is None:
        return None
    try:
        found = Reference(**json.loads(text))
        _check(found)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise Error(
            f"{address(version)}: its tag {TAG} cannot be read ({error}); run `destseg compare --again`"
        ) from None
    return found


def _check(found: Reference) -> None:
    """ValueError unless each part is such as `to_tag` writes: whoever may set a tag has set it."""
    if not isinstance(found.files, dict) or not {CONTENT, GALLERY} <= found.files.keys():
        raise ValueError(f"no {CONTENT} and {GALLERY} among its files")
    rows = [
        ("run_id", found.run_id, "[0-9a-f]{32}"),
        ("champion", found.champion, f"[0-9]{{1,9}}|{NOTHING}"),
        ("dataset_version", found.dataset_version, ".{1,200}"),
        *((name, value, "[0-9a-f]{64}") for name, value in found.files.items()),
    ]
    for name, value, shape in rows:
        if not isinstance(value, str) or not re.fullmatch(shape, value):
            raise ValueError(f"{name} is {str(value)[:80]!r}")


def digest(candidate: "ModelVersion") -> str:
    """SHA-256 of the comparison.json that the candidate's tag names; `none` where it was never compared."""
    found = reference(candidate)
    return NOTHING if found is None else found.files[CONTENT]


def log(client: "MlflowClient", category: str, candidate: "ModelVersion", champion: str, folder: Path) -> Reference:
    """Logs the files in `folder` as a run of the training's experiment, writes an entry, then sets the tag."""
    made = _stored(client, released(category), category, candidate, champion, folder)
    # The entry first, so that no tag is without an author. The tag is the commit point: a run that no tag names is what
    # an interrupted comparison leaves, and harmless.
    verdict = str(read(folder)["verdict"])
    append(client, category, event=COMPARED, subject=address(candidate), content=asdict(made), why=verdict)
    client.set_model_version_tag(candidate.name, candidate.version, TAG, made.to_tag())
    return made


def release(client: "MlflowClient", category: str, candidate: "ModelVersion", folder: Path) -> Reference:
    """The same files again where no trainer can write: what a released version names, and so is never changed."""
    found = reference(candidate)
    champion = NOTHING if found is None else found.champion
    return _stored(client, released_experiment(category), category, candidate, champion, folder)


def _stored(
    client: "MlflowClient", place: str, category: str, candidate: "ModelVersion", champion: str, folder: Path
) -> Reference:
    import mlflow

    dataset_version = str(read(folder)["dataset_version"])
    name = f"{category}-comparison-{candidate.version}-{champion}"
    tags = {"category": category, "candidate": address(candidate), "dataset_version": dataset_version}
    with mlflow.start_run(experiment_id=experiment(client, place), run_name=name, tags=tags) as run:
        mlflow.log_artifacts(str(folder), FOLDER)
    return Reference(
        run_id=run.info.run_id, champion=champion, dataset_version=dataset_version, files=integrity.digests(folder)
    )


def fetch(candidate: "ModelVersion", found: Reference) -> Path:
    """The folder of the comparison's files in the cache, each as it was when it was logged."""
    of = f"the comparison of {address(candidate)}"
    return kept(memo.cache() / "comparisons", found.files, of, lambda into: download(found, into))


def download(found: Reference, into: Path) -> Path:
    """The folder of the comparison's files as the registry has them now, downloaded below `into`."""
    import mlflow

    return Path(mlflow.artifacts.download_artifacts(run_id=found.run_id, artifact_path=FOLDER, dst_path=str(into)))


def present(candidate: "ModelVersion", champion: "ModelVersion | None") -> Path:
    """The files of the comparison with this champion; an Error says why there are none, and what to do."""
    found = reference(candidate)
    named = None if found is None else found.champion
    if missing := absence(candidate.tags.get("category", "CATEGORY"), int(candidate.version), named, number(champion)):
        raise Error(missing)
    assert found is not None  # else it is missing
    return fetch(candidate, found)


def absence(category: str, candidate: int, compared: str | None, now: str) -> str:
    """Why candidate has no comparison with the champion `now`, and what to do; empty where it has one.

    `compared` is the champion that it was compared with: a version, `none`, or None where it never was.
    """
    remedy = f"run `destseg compare {category} --version {candidate}`"
    if compared is None:
        return f"candidate {candidate} was not compared yet; {remedy}"
    if compared == now:
        return ""
    then, present = ("no champion" if one == NOTHING else f"champion {one}" for one in (compared, now))
    return f"candidate {candidate} was compared with {then}, there is {present} now; {remedy}"


def number(champion: "ModelVersion | None") -> str:
    """The champion's version as the tag has it."""
    return NOTHING if champion is None else str(champion.version)


def read(folder: Path) -> dict[str, Any]:
    """The content of comparison.json."""
    try:
        content = json.loads((folder / CONTENT).read_text(encoding="utf-8"), parse_constant=_refused)
        if not isinstance(content, dict):
            raise ValueError(f"it holds {type(content).__name__}, expected a mapping")
    except (ValueError, RecursionError) as error:
        raise Error(f"{folder / CONTENT} cannot be read ({error}); run `destseg compare --again`") from None
    return content


def _refused(constant: str) -> Any:
    """NaN and infinities: JSON has none, and a gate that compares with one says nothing."""
    raise ValueError(f"{constant} is no number")
