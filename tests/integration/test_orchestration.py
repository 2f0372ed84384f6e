"""The deployments on real servers (Prefect on PostgreSQL, MLflow, S3, git), and what goes wrong around them.

Training is a timed stand-in; prefect.yaml's waits are shortened, nothing else in it. `DESTSEG_SOAK=1` (make soak)
leaves them as they are, trains ten times as long, and records what each test took in results/soak_faults.json.
`DESTSEG_DATABASE=sqlite` puts Prefect on SQLite.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from destseg.bench.machine import describe
from destseg.files import sha256
from destseg.local.servers import Servers
from destseg.storage import versions
from destseg.storage.process import ProcessError, run

from .factory import FINAL, PATIENCE, Factory
from .postgres import postgres, programs

CATEGORIES: dict[str, dict[str, Any]] = {
    "washer": {},
    "bolt": {"standin": {"real": True}, "student": {"steps": 16, "batch": 2}},
    "nut": {"standin": {"seconds": 20}},
    "pin": {"standin": {"seconds": 10}},
    "slow": {"standin": {"seconds": 15}},
    "clip": {"standin": {"seconds": 10}},
    "broken": {"standin": {"fails": True}},
    "fabric": {},
}
SQLITE = os.environ.get("DESTSEG_DATABASE") == "sqlite"
MISSING = "PostgreSQL is not installed: apt-get install postgresql"
pytestmark = pytest.mark.skipif(not (SQLITE or programs()), reason=MISSING)
SOAK = bool(os.environ.get("DESTSEG_SOAK"))
RECORD = Path(__file__).parents[2] / "benchmarks/results/soak_faults.json"


def shorten(prefect: dict[str, Any]) -> None:
    """A poll every minute; a run is silent after 40 s and given another 35."""
    for deployment in prefect["deployments"]:
        for schedule in deployment.get("schedules") or []:
            if "interval" in schedule:
                schedule["interval"] = 60
        for trigger in deployment.get("triggers") or []:
            if trigger["name"] == "rescue-silent-run":
                trigger["within"] = 40
                trigger["parameters"] = {**trigger["parameters"], "wait_seconds": 35}


def slowly(categories: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same with trainings of ten times the length."""
    slow = {name: dict(overrides) for name, overrides in categories.items()}
    for overrides in slow.values():
        if "seconds" in overrides.get("standin", {}):
            overrides["standin"] = {"seconds": overrides["standin"]["seconds"] * 10}
        if "student" in overrides:
            overrides["student"] = {**overrides["student"], "steps": overrides["student"]["steps"] * 10}
    return slow


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest) -> Iterator[None]:
    """What each test took, where that is asked for: nothing is written of one that fails."""
    begun, failed = time.monotonic(), request.session.testsfailed
    yield
    if SOAK and request.session.testsfailed == failed:
        known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        name = f"{request.node.name} (SQLite)" if SQLITE else request.node.name
        machine = asdict(describe(torch.device("cpu")))
        known[name] = {"passed_after_s": round(time.monotonic() - begun), "date": machine.pop("date")}
        known["machine"] = machine
        RECORD.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("factory")
    with nullcontext() if SQLITE else postgres() as database, Servers(folder) as servers:
        if database:
            servers.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.address
        servers.env["DESTSEG_CHECKPOINT_SECONDS"] = "0.5"
        if not SOAK:
            servers.env["PREFECT_WORKER_QUERY_SECONDS"] = "2"  # a worker asks for runs every ten seconds
        servers.s3()
        servers.prefect()
        servers.ready("s3")
        factory = Factory(servers)
        factory.build(slowly(CATEGORIES) if SOAK else CATEGORIES)
        servers.mlflow()
        servers.ready("mlflow")
        servers.ready("prefect")
        factory.deploy((lambda _: None) if SOAK else shorten)
        factory.worker("cpu", limit=6)
        factory.worker("gpu", limit=6)
        yield factory


def test_a_batch_in_the_inbox_becomes_a_challenger_without_another_command(factory: Factory) -> None:
    factory.send("washer", count=3)
    (retrain,) = factory.wait(lambda: factory.runs("retrain", "washer"))
    retrain = factory.ended(retrain["id"])
    assert retrain["state_type"] == "COMPLETED", factory.story()
    (ingest,) = factory.runs("ingest", "washer")
    version = factory.version("washer")
    assert ingest["name"] == f"ingest-washer-{version[:8]}"
    assert retrain["name"] == f"retrain-washer-{version[:8]}"
    assert factory.challengers("washer") == [version]
    factory.said(retrain["id"], "> python standin.py package washer")  # the stages' lines reach the run

    shown = {found["key"]: found for found in factory.artifacts(retrain["id"])}
    pages = ("validation", "metrics", "gates", "worst", "challenger", "report")
    assert set(shown) == {f"{key}-washer" for key in pages}
    gates = json.loads(shown["gates-washer"]["data"])
    assert [(row["name"], row["result"]) for row in gates] == [
        ("compared", "passed"),
        ("parity", "passed"),
        ("lineage", "passed"),
    ]
    assert shown["gates-washer"]["description"].endswith("promotion.policy is review, so a person decides")
    assert json.loads(shown["metrics-washer"]["data"])[0] == {"metric": "image_auroc", "challenger": 0.97}
    assert shown["worst-washer"]["data"].startswith("data:image/jpeg;base64,")
    factory.schedule("poll", on=False)  # each takes seconds of a core, and what follows starts its own


def test_a_worker_killed_with_its_flow_is_found_and_the_run_ends_with_the_same_model(
    factory: Factory, tmp_path: Path
) -> None:
    factory.prefect("work-pool", "set-concurrency-limit", "gpu", "1")  # the rerun needs the slot of the dead run
    run_id = factory.start("retrain", category="bolt")
    factory.wait(lambda: list((factory.folder / "cache/checkpoints").glob("*.pt")))
    factory.workers.pop().kill()  # of the pool gpu
    (found,) = factory.runs("retrain", "bolt")
    assert found["state_type"] == "RUNNING"  # what Prefect believes for ever, left alone
    factory.worker("gpu", limit=6)
    factory.wait(lambda: factory.runs("retrain", "bolt")[0]["run_count"] == 2)
    assert factory.ended(run_id)["state_type"] == "COMPLETED", factory.story()
    factory.prefect("work-pool", "clear-concurrency-limit", "gpu")
    factory.said(run_id, "student: going on after step")
    assert factory.challengers("bolt") == [factory.version("bolt")]

    undisturbed = {**factory.servers.env, "DESTSEG_CACHE": str(tmp_path / "cache")}
    versions.git(tmp_path, "clone", "--quiet", str(factory.repository.origin), "clone")
    for command in (["dvc", "pull", "data/mvtec/bolt.dvc"], ["dvc", "repro", "student@bolt"]):
        run(command, cwd=tmp_path / "clone", env=undisturbed, timeout=PATIENCE)
    weights = sha256(tmp_path / "clone/build/bolt/student.safetensors")
    assert json.loads(factory.candidates("bolt")[-1]["files"])["model.safetensors"] == weights


def test_a_run_whose_worker_alone_is_killed_is_done_again(factory: Factory) -> None:
    run_id = factory.start("retrain", category="clip")
    factory.said(run_id, "clip: training")
    factory.workers.pop().kill_alone()  # of the pool gpu; the run has no one to print to any more, and crashes
    factory.worker("gpu", limit=6)
    factory.wait(lambda: factory.runs("retrain", "clip")[0]["state_type"] == "COMPLETED")
    (found,) = factory.runs("retrain", "clip")
    assert (found["id"], found["run_count"]) == (run_id, 2)
    assert factory.challengers("clip") == [factory.version("clip")]


def test_a_run_goes_on_while_the_prefect_server_restarts(factory: Factory) -> None:
    run_id = factory.start("retrain", category="nut")
    factory.said(run_id, "nut: training")
    factory.kill("prefect")
    factory.start_again("prefect")
    found = factory.ended(run_id)
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 1), factory.story()
    assert factory.challengers("nut") == [factory.version("nut")]
    factory.send("fabric")  # schedules, workers and triggers are there as before
    factory.schedule("poll", on=True)
    factory.wait(lambda: factory.runs("retrain", "fabric"))
    factory.schedule("poll", on=False)


def test_s3_and_mlflow_may_be_away_for_a_while(factory: Factory) -> None:
    run_id = factory.start("retrain", category="pin")
    factory.said(run_id, "pin: training")
    factory.kill("s3")
    factory.kill("mlflow")
    factory.said(run_id, "Could not connect to the endpoint")
    factory.start_again("s3")
    factory.said(run_id, "registering pin did not succeed")
    factory.start_again("mlflow")
    found = factory.ended(run_id)
    assert (found["state_type"], found["run_count"]) == ("COMPLETED", 1), factory.story()
    assert factory.challengers("pin") == [factory.version("pin")]


def test_of_two_runs_of_a_category_one_trains_and_a_version_that_comes_meanwhile_is_next(factory: Factory) -> None:
    busy = factory.start("retrain", category="slow")
    factory.wait(lambda: "slow: training" in factory.log(busy))
    old = factory.version("slow")
    second = factory.start("retrain", category="slow")
    assert factory.ended(second)["state_type"] == "COMPLETED"
    factory.said(second, "another run trains slow")
    commit = versions.git(factory.repository.origin, "rev-parse", "main").strip()
    factory.set({"slow": {"standin": {"seconds": 1}}})  # other settings too, while the first run trains
    factory.send("slow")
    factory.start("poll")
    factory.wait(lambda: factory.version("slow") != old)
    factory.wait(lambda: len(factory.challengers("slow")) == 2)
    assert factory.challengers("slow") == [old, factory.version("slow")]
    first, then = factory.candidates("slow")
    assert first["commit"] == commit
    assert first["params_hash"] != then["params_hash"]


def test_a_category_that_fails_stops_no_other(factory: Factory) -> None:
    assert factory.ended(factory.start("retrain-all"))["state_type"] == "COMPLETED"
    (broken,) = factory.wait(lambda: factory.runs("retrain", "broken"))
    assert factory.ended(broken["id"])["state_type"] == "FAILED"
    factory.said(broken["id"], "broken: the stand-in was told to fail")
    for category in set(CATEGORIES) - {"broken"}:
        factory.wait(lambda category=category: factory.version(category) in factory.challengers(category))
        found = factory.challengers(category)
        assert len(found) == len(set(found))  # what was trained before is not trained again


def test_a_silent_run_that_no_trigger_saw_is_found_by_the_next_poll(factory: Factory) -> None:
    factory.cut_short("washer")
    far = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}  # no worker takes it
    created = {"parameters": {"category": "washer"}, "state": far}
    run_id = factory.post(f"deployments/{factory.deployment('retrain')}/create_flow_run", created)["id"]
    factory.post(f"flow_runs/{run_id}/set_state", {"state": {"type": "RUNNING"}, "force": True})
    program = (
        "import datetime, prefect; from flows import rescue; rescue.SILENT = datetime.timedelta(seconds=5); "
        "prefect.flow(rescue.rescue_silent)()"
    )
    time.sleep(6)
    said = run([sys.executable, "-c", program], cwd=factory.folder, env=factory.servers.env, timeout=60)
    assert "has given no sign of life" in said

    def found() -> dict[str, Any]:
        return dict(next(one for one in factory.runs("retrain", "washer") if one["id"] == run_id))

    factory.wait(lambda: found()["state_type"] == "COMPLETED")
    assert found()["run_count"] == 2  # once as it was left, once done again
    factory.said(run_id, "washer: register is left to do")
    rescues = [one["id"] for one in factory.runs("rescue") if one["parameters"]["flow_run_id"] == run_id]
    factory.wait(lambda: any("declared crashed" in factory.log(one) for one in rescues))  # a trigger may start one too
    assert factory.challengers("washer") == [factory.version("washer")]


def test_a_full_disk_is_one_clear_error_and_the_next_run_completes(factory: Factory, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], cwd=tmp_path, timeout=20)
    except ProcessError as error:
        pytest.skip(f"a disk of 200 kB needs the right to mount one: {error.tail}")
    command = [sys.executable, "-m", "flows.retrain", "--category", "washer"]
    try:
        with pytest.raises(ProcessError, match="No space left on device"):
            run(command, cwd=tmp_path, env=factory.servers.env | {"DESTSEG_WORKSPACES": str(disk)}, timeout=240)
        assert not list(disk.glob("retrain-*"))
    finally:
        run(["umount", str(disk)], cwd=tmp_path, timeout=20)
    said = run(command, cwd=tmp_path, env=factory.servers.env, timeout=240)
    assert "washer: nothing is left to do" in said
    assert '"trained": false' in said
    assert factory.challengers("washer") == [factory.version("washer")]


def test_housekeeping_lists_what_no_commit_names_and_removes_it_when_asked_to(factory: Factory) -> None:
    def at_work() -> list[dict[str, Any]]:
        return [one for name in ("ingest", "retrain") for one in factory.runs(name) if one["state_type"] not in FINAL]

    factory.wait(lambda: not at_work())  # a run that uses the cache would be in the way
    for wanted in (False, True):
        found = factory.ended(factory.start("housekeeping", collect_objects=wanted))
        assert found["state_type"] == "COMPLETED", factory.story()
        shown = {one["key"]: one for one in factory.artifacts(found["id"])}
        (cache,) = [row["result"] for row in json.loads(shown["housekeeping"]["data"]) if row["what"] == "DVC cache"]
        assert ("would be removed" in cache) is not wanted


def test_monitor_completes_where_no_person_is_needed_and_shows_every_category(factory: Factory) -> None:
    found = factory.ended(factory.start("monitor"))
    assert found["state_type"] == "COMPLETED", factory.story()
    shown = {one["key"]: one for one in factory.artifacts(found["id"])}
    rows = json.loads(shown["health"]["data"])
    assert {row["category"] for row in rows} == set(CATEGORIES)
    assert {row["severity"] for row in rows} <= {"ok", "warning"}


def test_a_trigger_that_starts_nothing_is_reported(factory: Factory) -> None:
    program = (
        "from prefect.events import emit_event; from flows.ingest import VERSION_CREATED; "
        "emit_event(event=VERSION_CREATED, resource={'prefect.resource.id': 'destseg.dataset.x'}, "
        "payload={'category': 'No Such Name'})"
    )
    before = len(factory.runs("retrain"))
    run([sys.executable, "-c", program], cwd=factory.folder, env=factory.servers.env, timeout=60)
    monitor = factory.wait(lambda: [one for one in factory.runs("monitor") if one["state_type"] == "FAILED"])
    factory.said(monitor[0]["id"], "trigger retrain-on-new-dataset-version")
    factory.said(monitor[0]["id"], "No Such Name")
    assert len(factory.runs("retrain")) == before
    shown = {found["key"]: found for found in factory.artifacts(monitor[0]["id"])}
    assert json.loads(shown["health"]["data"])[0]["about"] == "trigger"


def test_a_run_that_always_dies_is_left_to_a_person_after_three_deaths(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(1)")  # before anything of Prefect begins
    run_id = factory.start("ingest", env={"PYTHONPATH": str(tmp_path)}, category="fabric")

    def rescues() -> list[dict[str, Any]]:
        found = [one for one in factory.runs("rescue") if one["parameters"]["flow_run_id"] == run_id]
        return [one for one in found if one["state_type"] == "COMPLETED"]

    factory.wait(lambda: len(rescues()) == 3)
    factory.said(rescues()[-1]["id"], "has died 3 times")
    assert factory.ended(run_id)["state_type"] == "CRASHED"
    assert factory.ended(run_id)["run_count"] == 0
