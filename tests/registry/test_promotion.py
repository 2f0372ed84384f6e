import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from destseg import Error
from destseg.registry import comparison
from destseg.registry.addresses import resolve
from destseg.registry.connection import candidates, connect, released
from destseg.registry.evidence import Lineage
from destseg.registry.history import history, logged, settle
from destseg.registry.promotion import promote, rollback
from destseg.registry.register import submit
from destseg.registry.released import release
from destseg.registry.verify import verify

Results = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("store")


def champion(category: str, alias: str = "champion") -> str:
    return str(connect().get_registered_model(released(category)).aliases.get(alias))


def test_promotion_copies_the_challenger_and_names_who_and_why(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    found = promote(category, why="first model", who="Ada", root=root)
    assert (found.version, found.candidate, found.replaces, found.created) == (1, 1, None, True)
    assert [gate.name for gate in found.gates if gate.passed] == ["compared", "image_auroc", "parity", "lineage"]
    assert champion(category) == "1"

    client = connect()
    version, candidate = (
        client.get_model_version(released(category), "1"),
        client.get_model_version(candidates(category), "1"),
    )
    assert version.source != candidate.source
    assert version.tags["files"] == candidate.tags["files"]
    assert json.loads(version.tags["gates"])[1] == {
        "name": "image_auroc",
        "measured": "0.9700",
        "limit": ">= 0.9",
        "passed": True,
        "why": "Image AUROC is 0.9700, at least 0.9 of params.yaml",
    }
    run = client.get_run(version.run_id)
    assert client.get_experiment(run.info.experiment_id).name == f"destseg-{category}-released"
    report = mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path="evaluation/report.html")
    assert Path(report).read_text() == "<p>report</p>"
    assert (resolve(f"models:/{released(category)}@champion") / "model.safetensors").read_bytes() == b"a"


COMPACT = {
    "source": "efficientnet-lite0",
    "sha256": "6" * 64,
    "backbone": "efficientnet-lite0",
    "licence": "Apache-2.0; trained on ImageNet",
}


def test_candidate_and_released_version_name_network_teacher_and_licence(
    results: Results, lineage: Callable[..., Lineage], compared: Callable[..., Any], category: str
) -> None:
    root = results(category)
    found = dataclasses.replace(lineage(root, "a", category=category), network="compact", teacher=COMPACT)
    submit(category, found, root=root)
    compared(category)
    promote(category, why="first", root=root)
    client = connect()
    for name in (candidates(category), released(category)):
        version = client.get_model_version(name, "1")
        assert (version.tags["network"], json.loads(version.tags["teacher"])) == ("compact", COMPACT)
        assert (
            "Network compact, teacher efficientnet-lite0 (backbone efficientnet-lite0, licence: Apache-2.0; trained on "
            "ImageNet)."
        ) in version.description
        run = client.get_run(version.run_id).data.tags
        assert (run["network"], json.loads(run["teacher"])) == ("compact", COMPACT)


def test_the_comparison_is_kept_with_what_was_released_on_it(train: Callable[..., Path], category: str) -> None:
    promote(category, why="first", root=train("a"))
    client = connect()
    version = client.get_model_version(released(category), "1")
    found = comparison.reference(version)
    assert found is not None
    run = client.get_run(found.run_id)
    assert client.get_experiment(run.info.experiment_id).name == f"destseg-{category}-released"
    before = comparison.reference(client.get_model_version(candidates(category), "1"))
    assert before is not None
    assert (found.files, found.champion) == (before.files, "none")
    assert comparison.read(comparison.fetch(version, found))["champion"] is None
    assert verify(category).errors == []


def test_another_machine_gets_the_champions_files_from_the_released_version(
    train: Callable[..., Path], category: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(category, why="first", root=train("a"))
    monkeypatch.setenv("DESTSEG_CACHE", str(store / f"{category}-cache"))
    found = resolve(f"models:/{released(category)}@champion")
    assert (found / "model.safetensors").read_bytes() == b"a"


def test_promoting_the_champion_again_changes_nothing(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    promote(category, why="first", root=root)
    again = promote(category, why="first", root=root)
    assert (again.version, again.created) == (1, False)
    assert len(history(category)) == 1


def test_promotions_and_rollbacks_form_a_history(train: Callable[..., Path], category: str) -> None:
    for key in "ab":
        root = train(key)
        promote(category, why=f"because of {key}", who="Ada", root=root)
    back = rollback(category, why="b misses scratches", who="Grace")
    assert (back.version, back.candidate, back.replaces) == (3, 1, 2)
    assert (champion(category), champion(category, "previous")) == ("3", "2")
    assert (resolve(f"models:/{released(category)}@champion") / "model.safetensors").read_bytes() == b"a"
    with pytest.raises(Error, match="former champions: 1, 2"):  # there was none before the first
        rollback(category, why="that one as well")
    entries = history(category)
    assert [(entry.version, entry.who, entry.replaces, entry.restores) for entry in entries] == [
        (1, "Ada", None, None),
        (2, "Ada", 1, None),
        (3, "Grace", 2, 1),
    ]
    assert entries[0].why == "because of a"
    assert entries[0].metrics["image_auroc"] == 0.97
    assert [entry.version for entry in history(category, at=entries[0].when.date())] == [1, 2, 3]


def test_a_failed_gate_stops_promotion_unless_it_is_overridden(train: Callable[..., Path], category: str) -> None:
    root = train("a", clean=False, image_auroc=0.7)
    with pytest.raises(Error, match=r"fails 2 of 4 gates .*Image AUROC is 0\.7000, below 0\.9.*not committed"):
        promote(category, why="looks fine to me", root=root)
    assert history(category) == []
    found = promote(category, why="trial on line 3 only", override=True, root=root)
    assert [gate.name for gate in found.gates if not gate.passed] == ["image_auroc", "lineage"]
    assert history(category)[0].overridden


def test_what_was_compared_anew_meanwhile_is_not_promoted_unseen(
    train: Callable[..., Path], compared: Callable[..., Any], category: str
) -> None:
    root = train("a")
    seen = comparison.digest(connect().get_model_version(candidates(category), "1"))
    compared(category, made="2026-11-21T12:00:00+00:00")
    for known in (seen, "none"):
        with pytest.raises(Error, match=r"candidate 1 of .* was compared anew since this was decided; look"):
            promote(category, why="looks good", compared=known, root=root)
    assert history(category) == []
    now = comparison.digest(connect().get_model_version(candidates(category), "1"))
    assert promote(category, why="looks good", compared=now, root=root).version == 1


def test_the_comparison_of_another_candidate_passes_no_gate(train: Callable[..., Path], category: str) -> None:
    """A tag may be set by whoever trains: the files are as they were made, but they are about another model."""
    train("a", image_auroc=0.99)
    root = train("b", image_auroc=0.7)
    client, name = connect(), candidates(category)
    client.set_model_version_tag(name, "2", "comparison", client.get_model_version(name, "1").tags["comparison"])
    with pytest.raises(Error, match=rf"its comparison has models:/{name}/1 as challenger, expected models:/{name}/2"):
        promote(category, why="looks good", root=root)
    assert history(category) == []


def test_spoiled_files_of_a_candidate_are_not_promoted(
    train: Callable[..., Path], category: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = train("a")
    (stored,) = (store / "mlartifacts" / f"destseg-{category}").rglob("package/model.safetensors")
    stored.write_bytes(b"z")
    monkeypatch.setenv("DESTSEG_CACHE", str(store / "another-cache"))
    with pytest.raises(Error, match=r"model\.safetensors has been changed since it was registered"):
        promote(category, why="first", override=True, root=root)


EDITED = (
    ("files", "no JSON", "has tag `files` 'no JSON', expected a JSON dict"),
    ("files", "[" * 4000, "has tag `files`"),
    ("metrics", "[1]", r"has tag `metrics` '\[1\]', expected a JSON dict"),
    ("teacher", "formula", "has tag `teacher` 'formula', expected a JSON dict"),
    ("requirements", "{}", "has tag `requirements` '{}', expected a JSON list"),
    ("comparison", "[" * 4000, "its tag comparison cannot be read"),
    ("comparison", '{"run_id": 1, "champion": "", "dataset_version": "", "files": {}}', "no comparis"),
    (
        "comparison",
        '{"run_id": "", "champion": "", "dataset_version": "", "files": ["comparison.json"]}',
        "no comparis",
    ),
)


def test_a_candidate_with_an_edited_tag_is_refused_in_a_sentence_before_anything_is_decided(
    train: Callable[..., Path], category: str
) -> None:
    root, client, name = train("a"), connect(), candidates(category)
    before = client.get_model_version(name, "1").tags
    for tag, value, said in EDITED:
        client.set_model_version_tag(name, "1", tag, value)
        with pytest.raises(Error, match=said):
            promote(category, why="first", override=tag != "comparison", root=root)
        client.set_model_version_tag(name, "1", tag, before[tag])
    assert history(category) == []
    assert "promoting" not in [entry.event for entry in logged(category)]


def test_a_changed_report_is_not_promoted(train: Callable[..., Path], category: str, store: Path) -> None:
    root = train("a")
    (report,) = (store / "mlartifacts" / f"destseg-{category}").rglob("report.html")
    report.write_text("<p>a better report</p>")
    with pytest.raises(Error, match="the files of its run have SHA-256"):
        promote(category, why="first", override=True, root=root)


def test_of_two_promotions_at_once_one_counts(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    promote(category, why="first", root=root)
    for key in "bc":
        train(key)
    client = connect()
    late = client.get_model_version(candidates(category), "2")
    promote(category, why="was faster", root=root)
    tags = {"candidate_version": "2", "replaces": "1", "who": "Ada", "why": "was slower", "gates": "[]"}
    release(client, category, late, resolve(f"models:/{candidates(category)}/2"), tags)  # decided when 1 was champion
    assert [version.tags["why"] for version in settle(client, category)] == ["first", "was faster"]
    assert champion(category) == "2"


def test_an_alias_that_a_kill_left_behind_is_repaired(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    promote(category, why="first", root=root)
    client = connect()
    client.delete_registered_model_alias(released(category), "champion")
    settle(client, category)
    assert champion(category) == "1"


def test_a_reader_who_is_slow_does_not_move_the_alias_back(train: Callable[..., Path], category: str) -> None:
    """Somebody promotes while another puts an alias right, and has read which versions there are."""
    promote(category, why="first", root=train("a"))
    root = train("b")
    connect().delete_registered_model_alias(released(category), "champion")

    class Slow(mlflow.MlflowClient):  # type: ignore[misc]  # MLflow's decorators leave it without a type
        promoted = False

        def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
            if not self.promoted:
                self.promoted = True
                promote(category, why="was faster", root=root)
            super().set_registered_model_alias(name, alias, version)

    uri = mlflow.get_tracking_uri()
    assert [version.tags["why"] for version in settle(Slow(uri, uri), category)] == ["first", "was faster"]
    assert (champion(category), champion(category, "previous")) == ("2", "1")


def test_a_reason_is_mandatory(train: Callable[..., Path], category: str) -> None:
    root = train("a")
    with pytest.raises(Error, match="needs a reason"):
        promote(category, why="  ", root=root)


def test_without_a_challenger_the_error_says_so(results: Results, category: str) -> None:
    with pytest.raises(Error, match=f"models:/destseg-{category}-candidates@challenger is not in the registry"):
        promote(category, why="first", root=results(category))
