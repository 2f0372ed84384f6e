"""The whole loop on real servers: a killed demo and the next, an engineer's checkout, deployments and their event.

The trainings take two steps: what they learn is nobody's concern here.
"""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from PIL import Image

from destseg import Error
from destseg.dataset.demo import render_image
from destseg.edit import editing
from destseg.evaluation.predict import predict
from destseg.local.demo import demo
from destseg.local.demo_settings import DemoSettings
from destseg.local.environment import BUCKET, applied
from destseg.local.prefect_api import call
from destseg.local.servers import Servers
from destseg.local.summary import METRICS, Summary
from destseg.local.up import up
from destseg.presets.use import use
from destseg.registry.addresses import resolve
from destseg.registry.compare import compare
from destseg.registry.promotion import promote, rollback
from destseg.storage import s3, versions
from destseg.storage.process import run

PROJECT = Path(__file__).parents[2]
SETTINGS = DemoSettings(
    categories=("washer",),
    normals=24,
    test_normals=4,
    defects_per_kind=1,
    batch=6,
    size=64,
    overrides={
        "image": {"size": 64},
        "split": {"calibration_share": 0.4},
        "teacher": {"source": "formula"},
        "texture": {"count": 8},
        # a package of 45 MB instead of 220
        "student": {"network": "paper", "steps": 2, "batch": 2, "encoder_decoder": False},
        "segmentation": {"width": 16, "steps": 2, "batch": 2},
    },
)
COMPACT = {
    "teacher": {"source": "efficientnet-lite0"},
    "student": {"steps": 2, "batch": 2, "encoder_decoder": True},
    "segmentation": {"width": 16, "steps": 2, "batch": 2},
}
RUN = f"""
import logging, sys
from pathlib import Path
from destseg.local.demo import demo
from destseg.local.demo_settings import DemoSettings
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
demo(Path(sys.argv[1]), folder=Path(sys.argv[2]), settings={SETTINGS!r})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that was killed while its flows trained."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-c", RUN, str(PROJECT), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Running stage 'validate@" in line:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "".join(lines)
    assert not (folder / "summary.json").exists()
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Summary:
    """The next run on that folder, which ends."""
    return demo(PROJECT, folder=folder, settings=SETTINGS)


@pytest.fixture
def servers(folder: Path, finished: Summary) -> Iterator[Servers]:  # noqa: ARG001  # has to be there first
    """S3 on the finished folder."""
    with Servers(folder) as servers:
        servers.s3()
        servers.ready("s3")
        yield servers


def test_a_killed_demo_is_finished_by_the_next(folder: Path, finished: Summary) -> None:
    found = json.loads((folder / "summary.json").read_text())["categories"]
    assert tuple(found) == SETTINGS.categories
    for category, outcome in finished.categories.items():
        assert (outcome.photographs, outcome.quarantined) == (6, 4)
        assert outcome.model_uri == found[category]["model_uri"] == f"models:/destseg-{category}/1"
        assert outcome.challenger is None
        assert outcome.metrics.keys() == METRICS.keys() <= found[category].keys()
        assert (folder / "reports" / category / "report.html").is_file()
        assert (folder / "predictions" / category / "scores.jsonl").is_file()
    assert list((folder / "workspaces").iterdir()) == []


def test_a_second_run_has_nothing_to_do(folder: Path, finished: Summary) -> None:
    again = demo(PROJECT, folder=folder, settings=SETTINGS)
    assert again.categories == finished.categories


def test_an_engineer_gets_the_results_without_training(servers: Servers, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    with applied(servers.env):
        versions.git(tmp_path, "clone", "--quiet", servers.env["DESTSEG_ORIGIN"], str(clone))
        versions.use_cache(clone, tmp_path / "empty-cache")
        said = versions.dvc(clone, "repro", "--pull", "package@washer", timeout=300)
        assert "Running stage" not in said
        assert "pixel_ap" in versions.dvc(clone, "metrics", "show", "build/washer/metrics.json", timeout=60)


def test_a_flow_runs_without_a_prefect_server(servers: Servers) -> None:
    command = [sys.executable, "-m", "flows.ingest", "--category", "washer"]
    output = run(command, cwd=PROJECT, env=servers.env, timeout=180).splitlines()
    result = json.loads(next(line for line in output if line.startswith('{"accepted"')))
    assert (result["accepted"], result["dataset_version"]) == (0, None)


def use_compact(origin: Path, clone: Path) -> None:
    """An engineer moves the category to the compact network, trained for two steps, and pushes that."""
    versions.git(clone.parent, "clone", "--quiet", str(origin), str(clone))
    use("compact", "washer", clone)
    with editing(clone / "params.yaml") as params:
        for section, settings in COMPACT.items():
            for name, value in settings.items():
                params.put(("categories", "washer", section, name), value)
    versions.git(clone, "config", "user.name", "Ada")
    versions.git(clone, "config", "user.email", "ada@example.com")
    versions.git(clone, "commit", "--quiet", "--all", "-m", "washer on the compact network")
    versions.git(clone, "push", "--quiet", "origin", "HEAD")


@pytest.fixture(scope="module")
def challenged(folder: Path, finished: Summary, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The newest challenger's link, after a new photograph, another network and the death of the Prefect server.

    A run of `ingest` emits the event that starts `retrain`, on a real worker; `up` starts again what is killed.
    """
    assert finished.categories["washer"].challenger is None
    use_compact(folder / "origin.git", tmp_path_factory.mktemp("engineer") / "clone")
    states: dict[str, str] = {}
    links = []
    dropped: list[bytes] = []
    killed: list[int] = []
    begun = time.monotonic()

    def done(servers: Servers) -> bool:
        assert time.monotonic() - begun < 900, states
        try:
            return look(servers)
        except Error:  # the server is away, or a loaded machine's does not answer in time
            return False

    def look(servers: Servers) -> bool:
        if not dropped:
            (ingest,) = call(servers.env, "deployments/filter", {"deployments": {"name": {"any_": ["ingest"]}}})
            dropped.append(photograph())
            with applied(servers.env):
                s3.upload(BUCKET, "inbox/washer/late.png", dropped[0])
            call(servers.env, f"deployments/{ingest['id']}/create_flow_run", {"parameters": {"category": "washer"}})
        runs = [
            found for found in call(servers.env, "flow_runs/filter", {}) if found["deployment_id"]
        ]  # not the demo's
        known = {found["name"]: found["state_type"] for found in runs if found["start_time"]}
        states.update({re.sub("-[0-9a-f]{8}$", "", name): state for name, state in known.items()})
        ours = {states.get(name) for name in ("ingest-washer", "retrain-washer")}  # a poll may meet no server
        assert not {"FAILED", "CRASHED"} & ours, states
        if states.get("retrain-washer") == "RUNNING" and not killed:
            prefect = servers.running["prefect"]
            assert prefect.pid is not None
            os.killpg(prefect.pid, signal.SIGKILL)
            killed.append(prefect.pid)
        if states.get("retrain-washer") != "COMPLETED":
            return False
        found = call(servers.env, "artifacts/latest/filter", {"artifacts": {"key": {"any_": ["challenger-washer"]}}})
        links.extend(artifact["data"] for artifact in found)
        return True

    up(PROJECT, folder=folder, until=done)
    assert killed
    assert states["ingest-washer"] == "COMPLETED"
    return str(links[0])


def test_new_photographs_become_a_challenger_though_the_prefect_server_dies(challenged: str) -> None:
    assert "models/destseg-washer-candidates/versions/2" in challenged


def test_champion_and_challenger_may_be_of_either_network(servers: Servers, challenged: str, tmp_path: Path) -> None:
    assert challenged
    clone = tmp_path / "clone"
    with applied(servers.env):
        versions.git(tmp_path, "clone", "--quiet", servers.env["DESTSEG_ORIGIN"], str(clone))
        versions.use_cache(clone, Path(servers.env["DESTSEG_CACHE"]) / "dvc")
        versions.dvc(clone, "pull", "data/mvtec/washer.dvc")

        assert networks() == ("paper", "compact")
        assert not compare("washer", root=clone).created  # the flow has compared the two
        promote("washer", who="Ada", why="two steps prove nothing here", override=True, root=clone)
        assert networks() == ("compact", "compact")

        picture = clone / "data/mvtec/washer/test/good/000.png"
        address = "models:/destseg-washer@champion"
        (expected,) = predict(resolve(address), [picture], None)
        served = mlflow.pyfunc.load_model(address).predict(pd.DataFrame({"image": [str(picture)]})).iloc[0]
        assert served["score"] == pytest.approx(expected["score"], abs=2e-6)  # which is rounded to six digits

        other = compare("washer", version=1, root=clone)
        assert (other.created, other.champion) == (True, "models:/destseg-washer/2")
        assert rollback("washer", who="Ada", why="tried").version == 3
        assert networks() == ("paper", "compact")


def networks() -> tuple[str, str]:
    """The networks of the champion and of the newest challenger, as their cards say."""
    addresses = ("models:/destseg-washer@champion", "models:/destseg-washer-candidates@challenger")
    champion, challenger = (json.loads((resolve(address) / "model.json").read_text()) for address in addresses)
    return champion["network"], challenger["network"]


def photograph() -> bytes:
    """A washer that neither the dataset nor the batch has."""
    pixels, _ = render_image("washer", split="incoming", kind="good", index=999, size=64)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
