import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from destseg import Error
from destseg.registry.connection import candidates, connect
from destseg.registry.evidence import Lineage
from destseg.registry.register import by_key, settle, submit

Results = Callable[..., Path]
Make = Callable[..., Lineage]


@pytest.mark.usefixtures("store")
def test_a_candidate_carries_its_run_files_and_lineage(results: Results, lineage: Make, category: str) -> None:
    root = results(category, steps=2400)
    found = submit(category, lineage(root, "key-1", category=category), root=root)
    assert (found.model_uri, found.version, found.created) == (f"models:/destseg-{category}-candidates/1", 1, True)

    client = connect()
    version = client.get_model_version_by_alias(candidates(category), "challenger")
    assert version.tags["training_key"] == "key-1"
    assert version.tags["git_clean"] == "true"
    assert set(json.loads(version.tags["files"])) == {
        "model.safetensors", "model.onnx", "model.json", "parity.json", "golden/0.png",
    }  # fmt: skip
    assert "| image_auroc | 0.97 |" in version.description
    assert "Network paper, teacher formula (backbone resnet18, licence: not recorded)." in version.description

    run = client.get_run(version.run_id)
    assert run.data.params["student.steps"] == "2400"  # the category's override
    assert run.data.params["student.lr"] == "0.4"
    assert run.data.metrics["image_auroc"] == 0.97
    losses = client.get_metric_history(run.info.run_id, "student/loss")
    assert sorted(point.step for point in losses) == list(range(2400))
    assert {point.step: point.value for point in losses}[3] == 0.25
    assert len(client.get_metric_history(run.info.run_id, "segmentation/focal")) == 2
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == "aa" * 16 + ".dir"
    assert json.loads(dataset.dataset.source)["uri"].startswith("s3://bucket/dvc/files/md5/aa/")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"evaluation", "lineage", "metrics.json"}


@pytest.mark.usefixtures("store")
def test_the_same_training_is_registered_once(results: Results, lineage: Make, category: str) -> None:
    root = results(category)
    submit(category, lineage(root, "key-1", category=category), root=root)
    again = submit(category, lineage(root, "key-1", category=category), root=root)
    assert (again.version, again.created) == (1, False)
    found = by_key(connect(), category, "key-1")
    assert found is not None
    assert int(found.version) == 1
    assert str(connect().get_model_version_by_alias(candidates(category), "challenger").version) == "1"


@pytest.mark.usefixtures("store")
def test_a_newer_challenger_supersedes_the_older_one(results: Results, lineage: Make, category: str) -> None:
    root = results(category)
    submit(category, lineage(root, "key-1", category=category), root=root)
    submit(category, lineage(root, "key-2", category=category), root=root)
    client = connect()
    assert client.get_model_version(candidates(category), "1").tags["superseded_by"] == "2"
    assert str(client.get_model_version_by_alias(candidates(category), "challenger").version) == "2"


@pytest.mark.usefixtures("store")
def test_who_is_slow_does_not_make_an_older_candidate_the_challenger(
    results: Results, lineage: Make, category: str
) -> None:
    """Somebody registers while another gives the alias to what was the newest candidate a moment ago."""
    root = results(category)
    submit(category, lineage(root, "key-1", category=category), root=root)
    name = candidates(category)
    connect().delete_registered_model_alias(name, "challenger")

    class Slow(mlflow.MlflowClient):  # type: ignore[misc]  # MLflow's decorators leave it without a type
        registered = False

        def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
            if not self.registered:
                self.registered = True
                submit(category, lineage(root, "key-2", category=category), root=root)
            super().set_registered_model_alias(name, alias, version)

    uri = mlflow.get_tracking_uri()
    settle(Slow(uri, uri), category)
    challenger = connect().get_model_version_by_alias(name, "challenger")
    assert (str(challenger.version), "superseded_by" in challenger.tags) == ("2", False)
    assert connect().get_model_version(name, "1").tags["superseded_by"] == "2"


@pytest.mark.usefixtures("store")
def test_a_package_that_differs_from_its_card_is_refused(results: Results, lineage: Make, category: str) -> None:
    root = results(category)
    (root / "build" / category / "package/model.safetensors").write_bytes(b"other weights")
    with pytest.raises(Error, match=r"model\.safetensors has been changed"):
        submit(category, lineage(root, "key-1", category=category), root=root)
    assert by_key(connect(), category, "key-1") is None


@pytest.mark.usefixtures("store")
def test_missing_results_are_named(results: Results, lineage: Make, category: str) -> None:
    root = results(category)
    (root / "build" / category / "metrics.json").unlink()
    with pytest.raises(Error, match=r"metrics\.json does not exist; run `dvc repro` first"):
        submit(category, lineage(root, "key-1", category=category), root=root)
