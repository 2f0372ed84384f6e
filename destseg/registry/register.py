"""Registers what a training left in build/<category>/ as a candidate, once per dataset version, params and code."""

import json
import logging
import tempfile
import time
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error, __version__
from destseg.files import sha256
from destseg.model.named import NETWORK, teacher_in_words
from destseg.registry import evidence, images, integrity, log, pyfunc
from destseg.registry.connection import candidates, connect, ensure_model, experiment, explained, released
from destseg.registry.listing import address
from destseg.registry.meanwhile import begin
from destseg.storage import stages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)
REGISTERED = "registered"  # the entry of the log
LOG_TAG = "log"  # of a version: the hash of its entry
SUPERSEDED = "superseded_by"  # the newer candidate that took its place as challenger
LATER = (LOG_TAG, SUPERSEDED, "turned_down", "comparison")  # tags that a candidate gets after its entry
CHALLENGER = "challenger"
BLOCK = 1000  # metrics that one request of MLflow may hold
PARAMS_BLOCK = 100  # parameters that one request may hold


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A candidate in the registry."""

    model_uri: str
    version: int
    run_id: str
    experiment_id: str
    created: bool
    """False when this training had been registered before."""

    def __str__(self) -> str:
        return self.model_uri if self.created else f"{self.model_uri}, registered before"


def register(category: str, *, root: Path = Path()) -> Registration:
    """The candidate of the training in build/<category>, created unless it is there; the newest is the challenger."""
    current = begin(lambda: evidence.check_current(category, root))  # DVC needs a second, importing MLflow another
    with explained(f"registering {category}"):
        client = connect()
        former = by_key(client, category, stages.training_key(root, category))
        if former is not None:
            log_registration(client, category, former)
            settle(client, category)
            return _registration(client, former, created=False)
    current.result()
    return submit(category, evidence.lineage(category, root), root=root)


def submit(category: str, lineage: evidence.Lineage, *, root: Path = Path()) -> Registration:
    """Registers build/<category>/ under a lineage that the caller vouches for."""
    with explained(f"registering {category}"):
        client = connect()
        created = _create(client, category, root, lineage)
        number = created.version
        log_registration(client, category, created)
        first = by_key(client, category, lineage.training_key)
        if first is None:
            raise Error(f"version {number} of {candidates(category)} was deleted while it was being registered")
        settle(client, category)
        # Of two processes that registered the same training at once, the later one's version is superseded and unused.
        return _registration(client, first, created=int(first.version) == int(number))


def _registration(client: "MlflowClient", version: "ModelVersion", *, created: bool) -> Registration:
    number, run = int(version.version), client.get_run(str(version.run_id)).info
    return Registration(
        model_uri=f"models:/{version.name}/{number}",
        version=number,
        run_id=run.run_id,
        experiment_id=run.experiment_id,
        created=created,
    )


def by_key(client: "MlflowClient", category: str, training_key: str) -> "ModelVersion | None":
    """The first candidate with this training key."""
    query = f"name='{candidates(category)}' and tags.`training_key`='{training_key}'"
    return min(client.search_model_versions(query), key=lambda found: int(found.version), default=None)


def _create(client: "MlflowClient", category: str, root: Path, lineage: evidence.Lineage) -> "ModelVersion":
    import mlflow

    package, files = evidence.package(category, root)
    metrics = evidence.metrics(category, root)
    requirements = pyfunc.scoring_requirements()
    ensure_model(client, candidates(category), category)
    logger.info("registering %s: %d files, dataset version %s", category, len(files), lineage.dataset_version)
    with (
        tempfile.TemporaryDirectory() as temporary,
        mlflow.start_run(
            experiment_id=experiment(client, released(category)), run_name=f"{category}-{lineage.training_key[:8]}"
        ) as run,
    ):
        record = Path(temporary)
        evidence.collect(category, root, lineage, record)
        _log_run(client, run.info.run_id, category, root, lineage, metrics)
        mlflow.log_artifacts(str(record))
        logger.info("uploading the model of %s", category)
        model = pyfunc.log(package, requirements, {"category": category, "dataset_version": lineage.dataset_version})
        tags = {
            "category": category,
            "dataset_version": lineage.dataset_version,
            "commit": lineage.commit,
            "git_clean": str(lineage.clean).lower(),
            "training_key": lineage.training_key,
            "params_hash": evidence.params_hash(lineage.params),
            "network": lineage.network,
            "teacher": json.dumps(lineage.teacher),
            "metrics": json.dumps(metrics),
            "files": json.dumps(files),
            images.TAG: sha256(record / images.LIST),
            evidence.LINEAGE_TAG: sha256(record / evidence.LINEAGE),
            "evidence": integrity.digest(integrity.digests(record)),
            "requirements": json.dumps(requirements),
            "destseg": __version__,
        }
    # The version is the commit point: a run without one is what an interrupted registration leaves, and harmless.
    return client.create_model_version(
        candidates(category),
        model.model_uri,
        run_id=run.info.run_id,
        model_id=model.model_id,
        tags=tags,
        description=description(tags, metrics),
    )


def _log_run(
    client: "MlflowClient",
    run_id: str,
    category: str,
    root: Path,
    lineage: evidence.Lineage,
    metrics: dict[str, float],
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    tags = {
        "category": category,
        "dataset_version": lineage.dataset_version,
        "commit": lineage.commit,
        "training_key": lineage.training_key,
        "network": lineage.network,
        "teacher": json.dumps(lineage.teacher),
    }
    params = [
        Param(key, value if isinstance(value, str) else json.dumps(value)) for key, value in lineage.params.items()
    ]
    for start in range(0, len(params), PARAMS_BLOCK):
        client.log_batch(run_id, params=params[start : start + PARAMS_BLOCK])
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    dataset = Dataset(
        name=category,
        digest=lineage.dataset_version[:36],  # MLflow's limit
        source_type="s3",
        source=json.dumps({"uri": lineage.dataset_url}),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    now = int(time.time() * 1000)
    series = evidence.losses(category, root)
    points = chain(
        (Metric(name, value, now, 0) for name, value in metrics.items()),
        (Metric(name, value, now, step) for name, values in series.items() for step, value in values),
    )
    while block := list(islice(points, BLOCK)):
        client.log_batch(run_id, metrics=block)


def log_registration(
    client: "MlflowClient", category: str, version: "ModelVersion", *, why: str = "", who: str | None = None
) -> None:
    """Writes the registration into the log, once: a kill before leaves that to the next `destseg register`."""
    if LOG_TAG in version.tags:
        return
    subject = address(version)
    written = (one for one in log.read(client, category) if one.event == REGISTERED and one.subject == subject)
    entry = next(written, None)
    if entry is None:
        tags = {key: value for key, value in version.tags.items() if key not in LATER}
        why = why or f"trained on dataset version {tags['dataset_version']}, commit {tags['commit']}"
        content = {"tags": log.fingerprints(tags)}
        entry = log.append(client, category, event=REGISTERED, subject=subject, content=content, why=why, who=who)
    client.set_model_version_tag(version.name, version.version, LOG_TAG, entry.hash)


def settle(client: "MlflowClient", category: str) -> None:
    """Gives the alias challenger to the newest candidate, and marks the ones before it; repairs what a kill left."""
    name = candidates(category)
    while True:
        alias = client.get_registered_model(name).aliases.get(CHALLENGER)
        # Read after the alias, and again after it was moved: another one may have registered meanwhile.
        known = sorted(client.search_model_versions(f"name='{name}'"), key=lambda found: int(found.version))
        first_by_key = {version.tags.get("training_key"): version for version in reversed(known)}
        newest = max(first_by_key.values(), key=lambda found: int(found.version))
        for version in known:
            if version.version != newest.version and SUPERSEDED not in version.tags:
                client.set_model_version_tag(name, version.version, SUPERSEDED, str(newest.version))
        if str(alias) == str(newest.version):
            return
        client.set_registered_model_alias(name, CHALLENGER, newest.version)


def description(tags: dict[str, str], metrics: dict[str, float]) -> str:
    """What MLflow's page shows of a version: its origin, and a table of its metrics."""
    lines = [
        f"DeSTSeg for {tags['category']}, dataset version `{tags['dataset_version']}`, commit `{tags['commit'][:12]}`.",
        "",
        f"Network {tags.get('network', NETWORK)}, teacher {teacher_in_words(json.loads(tags.get('teacher', '{}')))}.",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {name} | {value:.4g} |" for name, value in metrics.items()),
    ]
    return "\n".join(lines)
