"""A released version: the candidate's package and evidence logged again, where no trainer can write."""

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import evidence, images, integrity, pyfunc
from destseg.registry.connection import ensure_model, experiment, released, released_experiment
from destseg.registry.listing import json_tag
from destseg.registry.register import description

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)
RECALIBRATES = "recalibrates"  # of a candidate with another operating point: the candidate whose weights it has
# What a released version takes over from its candidate.
ORIGIN = ("category", "dataset_version", "commit", "training_key", "network", "teacher")  # on the run as well
INHERITED = (
    *(*ORIGIN, "git_clean", "params_hash", "metrics", "files", images.TAG, evidence.LINEAGE_TAG),
    *("evidence", "requirements", "destseg", RECALIBRATES),
)


def release(
    client: "MlflowClient", category: str, candidate: "ModelVersion", package: Path, tags: dict[str, str]
) -> "ModelVersion":
    """Package and evidence of the candidate, as a version of the released model with all its tags."""
    ensure_model(client, released(category), category)
    with tempfile.TemporaryDirectory() as temporary:
        record = recorded(candidate, Path(temporary))
        tags = inherited(candidate) | tags
        return copy(client, category, candidate, package, record, name=released(category), tags=tags)


def copy(
    client: "MlflowClient",
    category: str,
    candidate: "ModelVersion",
    package: Path,
    record: Path,
    *,
    name: str,
    tags: dict[str, str],
) -> "ModelVersion":
    """Logs the folders `package` and `record` into the released experiment, which no trainer can write to.

    One call creates the version of the registered model `name` with these tags.
    """
    import mlflow

    metrics: dict[str, float] = json.loads(tags["metrics"])
    requirements = _requirements(candidate)
    place = experiment(client, released_experiment(category))
    log.info("copying candidate %s of %s and its evidence", candidate.version, category)
    origin = {key: tags[key] for key in ORIGIN if key in tags} | {"candidate_run": str(candidate.run_id)}
    run_name = f"{category}-candidate-{candidate.version}"
    with mlflow.start_run(experiment_id=place, run_name=run_name, tags=origin) as run:
        mlflow.log_metrics(metrics)
        mlflow.log_artifacts(str(record))
        model = pyfunc.log(package, requirements, {"category": category, "candidate": str(candidate.version)})
    # The version is the commit point: whoever is killed before leaves a run that nothing points to.
    return client.create_model_version(
        name,
        model.model_uri,
        run_id=run.info.run_id,
        model_id=model.model_id,
        tags=tags,
        description=description(tags, metrics),
    )


def inherited(candidate: "ModelVersion") -> dict[str, str]:
    """The tags that a released version takes over from its candidate; an Error where one cannot be read."""
    json_tag(candidate, "metrics", dict)
    json_tag(candidate, "teacher", dict, {})
    json_tag(candidate, "requirements", list, [])
    return {key: candidate.tags[key] for key in INHERITED if key in candidate.tags}


def recorded(candidate: "ModelVersion", into: Path) -> Path:
    """The files of the candidate's run, as they were when it was registered."""
    import mlflow

    record = Path(mlflow.artifacts.download_artifacts(run_id=candidate.run_id, dst_path=str(into)))
    found = integrity.digest(integrity.digests(record))
    if found != candidate.tags.get("evidence"):
        raise Error(
            f"models:/{candidate.name}/{candidate.version}: the files of its run have SHA-256 {found}, "
            f"registered were {candidate.tags.get('evidence')}; register it again"
        )
    return record


def _requirements(candidate: "ModelVersion") -> list[str]:
    """The candidate's pinned libraries, if they are those that this installation's scoring code needs."""
    registered = json_tag(candidate, "requirements", list, [])
    names = {str(line).partition("==")[0] for line in registered}
    needed = {line.partition("==")[0] for line in pyfunc.scoring_requirements()}
    if names != needed:
        raise Error(
            f"models:/{candidate.name}/{candidate.version} needs {', '.join(sorted(names)) or 'no libraries'}, this "
            f"destseg scores with {', '.join(sorted(needed))}; use the release of destseg that registered it"
        )
    return registered
