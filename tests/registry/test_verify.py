"""`destseg history --verify`: each way of changing what was released by hand is found, and named."""

import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from destseg import Error
from destseg.cli import app
from destseg.registry import log
from destseg.registry.connection import candidates, connect, log_model, released
from destseg.registry.history import history, settle
from destseg.registry.promotion import promote, rollback
from destseg.registry.released import release
from destseg.registry.turn_down import turn_down
from destseg.registry.verify import verify

Train = Callable[..., Path]


CATEGORY = "washer"
KNOWN = f"models:/{released(CATEGORY)}"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def made(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> MlflowClient:
    """Three candidates, the first two promoted, the second rolled back, the third turned down: a copy of its own."""
    monkeypatch.setenv("DESTSEG_CACHE", str(template / "cache"))
    database = template / "mlflow.db"
    if not (template / "whole").exists():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        train = request.getfixturevalue("train")
        for key in "ab":
            promote(CATEGORY, why=f"because of {key}", who="Ada", root=train(key))
        rollback(CATEGORY, why="b misses scratches", who="Grace")
        train("c")
        turn_down(CATEGORY, why="c too", who="Grace")
        (template / "whole").touch()
    shutil.copyfile(database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return connect()


@pytest.fixture
def category() -> str:
    return CATEGORY


def errors(category: str, *, files: bool = False) -> list[str]:
    """Each as `-log/3: text`, the released model's name left out."""
    return [f"{one.about.removeprefix(KNOWN)}: {one.text}" for one in verify(category, files=files).errors]


def notes(category: str) -> list[str]:
    return [one.text for one in verify(category).findings if one.severity == "note"]


def test_a_history_that_nobody_touched_verifies(made: MlflowClient, category: str) -> None:
    found = verify(category, files=True)
    assert found.findings == ()
    assert str(found) == f"{category}: 13 entries, 3 released versions, files compared: in order"
    assert [entry.event for entry in log.read(made, category)] == [
        *("registered", "compared"),
        *("promoting", "promoted"),
        *("registered", "compared"),
        *("promoting", "promoted"),
        *("rolling-back", "rolled-back"),
        *("registered", "compared"),
        "turned-down",
    ]


def test_a_deleted_entry_is_found(made: MlflowClient, category: str) -> None:
    made.delete_model_version(log_model(category), "7")  # the second promotion
    assert errors(category) == [
        "-log: version 7 is missing: deleted",
        *(f"-log/8: {text}" for text in follows(made, category, 8)),
        "/2: its entry is not in the log: deleted or changed",
    ]


def follows(client: MlflowClient, category: str, number: int) -> list[str]:
    (entry,) = (one for one in log.read(client, category) if one.number == number)
    return [f"follows an entry {entry.previous[0][:12]} that is not there: deleted or changed"]


@pytest.mark.parametrize("tag", ["why", "content", "event", "when", "another"])
def test_an_edited_entry_is_found(made: MlflowClient, category: str, tag: str) -> None:
    value = "turned-down" if tag == "event" else json.dumps({"replaces": "none"}) if tag == "content" else "now"
    made.set_model_version_tag(log_model(category), "4", tag, value)
    found = errors(category)
    assert found[0] == "-log/4: its hash does not fit the rest: changed, or made by hand"


def test_an_entry_that_was_rewritten_with_a_hash_that_fits_is_found(made: MlflowClient, category: str) -> None:
    name = log_model(category)
    made.set_model_version_tag(name, "7", "why", "because Ada wanted it")
    made.set_model_version_tag(name, "7", "hash", log.entry(made.get_model_version(name, "7")).computed)
    assert errors(category) == [
        *(f"-log/8: {text}" for text in follows(made, category, 8)),
        "/2: its entry is not in the log: deleted or changed",
    ]


@pytest.mark.parametrize("tag", ["who", "metrics", "replaces", "dataset_version", "praise"])
def test_an_edited_tag_of_a_released_version_is_found(made: MlflowClient, category: str, tag: str) -> None:
    made.set_model_version_tag(released(category), "2", tag, "{}")
    assert f"/2: not as entry 7 of the log says: tag {tag}" in errors(category)


def test_a_deleted_tag_and_an_exchanged_entry_are_found(made: MlflowClient, category: str) -> None:
    made.delete_model_version_tag(released(category), "2", "why")
    made.set_model_version_tag(released(category), "1", "log", log.read(made, category)[0].hash)
    assert errors(category) == [
        "/1: its entry is not in the log: deleted or changed",
        "/2: not as entry 7 of the log says: tag why",
    ]


def test_an_alias_moved_by_hand_is_found_put_right_by_the_next_reader_and_remembered(
    made: MlflowClient, category: str
) -> None:
    made.set_registered_model_alias(released(category), "champion", "2")
    made.delete_registered_model_alias(released(category), "previous")
    made.set_registered_model_alias(released(category), "mine", "1")
    moved = f"moved by hand, or a promotion was cut short; `destseg history {category}` puts it right"
    assert errors(category) == [
        f"@champion: is at version 2, belongs at 3: {moved}",
        f"@previous: is at version none, belongs at 2: {moved}",
    ]
    assert notes(category) == ["set by hand, at version 1; nothing of destseg reads it"]
    history(category)
    assert errors(category) == []
    assert made.get_registered_model(released(category)).aliases["champion"] == 3
    assert "champion from version 2 to 3, previous from version none to 2, not where" in notes(category)[0]


def test_a_version_made_by_hand_is_found(made: MlflowClient, category: str) -> None:
    first = made.get_model_version(released(category), "1")
    tags = {key: value for key, value in first.tags.items() if key != "log"} | {"replaces": "3"}
    made.create_model_version(released(category), first.source, model_id=first.source[8:], tags=tags)
    settle(made, category)
    assert errors(category) == ["/4: has no entry in the log: made by hand"]

    copied = first.tags | {"replaces": "4"}  # with an entry, but another's
    made.create_model_version(released(category), first.source, model_id=first.source[8:], tags=copied)
    settle(made, category)
    assert errors(category)[1:] == [
        "/5: not as entry 3 of the log says: tag replaces",
        f"/5: has the same entry as models:/{released(category)}/1: one of them was made by hand",
    ]
    assert [entry.version for entry in history(category)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("content", [{"tags": ["a"], "intent": ["b"]}, {"tags": "text", "intent": {"a": 1}}])
def test_an_entry_made_by_hand_does_not_stop_the_verification(
    made: MlflowClient, category: str, content: dict[str, object]
) -> None:
    """Its hash fits, and whoever may train points a candidate at it."""
    about = f"models:/{candidates(category)}/1"
    entry = log.append(made, category, event="registered", subject=about, content=content, who="Eve")
    made.set_model_version_tag(candidates(category), "1", "log", entry.hash)
    assert errors(category) == [
        f"-candidates/1: entry {entry.number} of the log does not say with which tags it was made: made by hand"
    ]


def test_content_of_a_thousand_brackets_does_not_stop_whoever_reads_or_writes(
    made: MlflowClient, category: str
) -> None:
    tags = {"event": "registered", "content": "[" * 4000}
    made.create_model_version(log_model(category), f"{log.SOURCE}{category}", tags=tags)
    assert log.append(made, category, event="tried", subject="models:/x/1", content={}).sound
    assert [found for found in errors(category) if "made by hand" in found]


def test_a_version_without_any_tag_is_found_and_breaks_nothing(made: MlflowClient, category: str) -> None:
    source = made.get_model_version(released(category), "1").source
    made.create_model_version(released(category), source, model_id=source[8:])
    made.create_model_version(released(category), source, model_id=source[8:], tags={"replaces": "3"})
    assert [(entry.version, entry.who) for entry in history(category)[3:]] == [(5, "not stated")]
    assert errors(category) == [f"/{number}: has no entry in the log: made by hand" for number in (4, 5)]


def test_a_rollback_never_brings_the_faulty_one_back(made: MlflowClient, category: str) -> None:
    """Version 3 restored 1 because of 2: with 1 deleted there is nothing before it."""
    made.delete_model_version(released(category), "1")
    with pytest.raises(Error, match="cannot be rolled back further; former champions: 2"):
        rollback(category, why="once more", who="Grace")


@pytest.mark.parametrize("number", ["1", "2", "3"])
def test_a_deleted_version_is_found_and_its_successors_stay(made: MlflowClient, category: str, number: str) -> None:
    made.delete_model_version(released(category), number)
    found = errors(category)
    assert any(
        text.endswith(f"{released(category)}/{number} was released, which is not there: deleted") for text in found
    )
    assert (f": version {number} is missing: deleted" in found) == (number != "3")
    champion = "2" if number == "3" else "3"
    assert str(settle(made, category)[-1].version) == champion


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("change", ["edited", "deleted"])
@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("package/model.safetensors", "model.safetensors"),
        ("evaluation/report.html", "the files of its run have SHA-256"),
        ("comparison/comparison.json", "comparison.json"),
    ],
)
def test_changed_files_are_found(category: str, template: Path, place: str, said: str, change: str) -> None:
    file = next((template / "mlartifacts" / f"destseg-{category}-released").rglob(place))
    kept = file.read_bytes()
    file.unlink()
    if change == "edited":
        file.write_bytes(b"other")
    assert errors(category) == []
    found = errors(category, files=True)
    file.write_bytes(kept)
    assert found
    assert all(said in text for text in found)
    assert errors(category, files=True) == []


def test_an_edited_candidate_is_found(made: MlflowClient, category: str) -> None:
    name = candidates(category)
    made.set_model_version_tag(name, "2", "metrics", '{"image_auroc": 1.0}')
    made.set_model_version_tag(name, "1", "turned_down", "{}")
    assert errors(category) == [
        "-candidates/1: was turned down by its tag turned_down alone: made by hand",
        "-candidates/2: not as entry 5 of the log says: tag metrics",
    ]


def test_a_refusal_that_was_cut_short_is_a_note_and_a_repetition_ends_it(made: MlflowClient, category: str) -> None:
    made.delete_model_version_tag(candidates(category), "3", "turned_down")  # as it is between entry and tag
    assert errors(category) == []
    assert notes(category) == [
        "was turned down by Grace, entry 13 of the log, but has no tag turned_down: cut short, or deleted by hand; "
        f"repeat `destseg turn-down {category} --version 3`"
    ]
    assert turn_down(category, why="as before", version=3).why == "c too"
    assert verify(category).findings == ()


def test_a_comparison_that_nobody_wrote_into_the_log_is_found(made: MlflowClient, category: str) -> None:
    name = candidates(category)
    other = made.get_model_version(name, "1").tags["comparison"]
    made.set_model_version_tag(name, "2", "comparison", other)
    made.set_model_version_tag(name, "3", "comparison", "by hand")
    assert errors(category) == [
        f"-candidates/{number}: its tag comparison is in no entry of the log: made by hand" for number in (2, 3)
    ]


def test_an_intent_that_was_refused_or_cut_short_is_a_note(made: MlflowClient, category: str) -> None:
    address = f"models:/{candidates(category)}/1"
    log.append(made, category, event="promoting", subject=address, content={"replaces": "1", "tags": {}}, who="Ada")
    assert errors(category) == []
    (note,) = notes(category)
    assert note.startswith(f"promoting {address} by Ada, ")
    assert note.endswith(" was not carried out: refused to that account, or cut short")


@pytest.mark.usefixtures("store")
def test_what_is_older_than_the_log_is_noted_and_stays_usable(train: Train, category: str) -> None:
    """As a registry from before there was a log: versions without entries, then a log."""
    root = train("a")
    client = connect()
    client.delete_registered_model(log_model(category))
    client.delete_model_version_tag(candidates(category), "1", "log")
    candidate = client.get_model_version(candidates(category), "1")
    tags = {"candidate_version": "1", "replaces": "none", "who": "Ada", "why": "first", "gates": "[]"}
    (package,) = {path.parent for path in root.rglob("package/model.json")}
    release(client, category, candidate, package, tags)
    settle(client, category, created=client.get_model_version(released(category), "1"))
    assert notes(category) == ["older than the log", "has no entry in the log: older than the log"]

    promote(category, why="second", root=train("b"))
    rollback(category, why="back to the one from before the log")
    assert errors(category) == []
    assert notes(category) == ["older than the log", "has no entry in the log: older than the log"]
    assert [entry.version for entry in history(category)] == [1, 2, 3]


@pytest.mark.usefixtures("made")
def test_a_category_of_which_nothing_is_there_is_no_good_history() -> None:
    with pytest.raises(Error, match="nothing of bolt is in the registry at sqlite"):
        verify("bolt")


def test_the_command_says_so_by_its_exit_code(made: MlflowClient, category: str) -> None:
    run = CliRunner()
    fine = run.invoke(app, ["history", category, "--verify", "--json"])
    assert (fine.exit_code, json.loads(fine.output)["findings"]) == (0, [])
    made.delete_model_version(log_model(category), "7")
    wrong = run.invoke(app, ["history", category, "--verify"])
    assert "version 7 is missing" in wrong.output
    assert "errors; see above" in str(wrong.exception)  # which `destseg` prints, and ends with exit code 2
    listed = run.invoke(app, ["history", category, "--log"])
    assert [line.split()[4] for line in listed.output.splitlines()][:3] == [
        *("registered", "compared"),
        "promoting",
    ]
    today = f"{datetime.date.today():%Y-%m-%d}"
    assert len(run.invoke(app, ["history", category, "--at", today]).output.splitlines()) == 3
    assert run.invoke(app, ["history", category, "--files"]).exit_code == 1
