"""A whole installation for tests: S3, MLflow, Prefect with the project's deployments, workers, a git origin.

Everything is real but for the training, which `standin.py` times; its project has one stage for each that matters here.
"""

import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from destseg import Error, settings
from destseg.ingest.add import add
from destseg.local.environment import BUCKET, applied
from destseg.local.loopback import direct
from destseg.local.prefect_api import call
from destseg.local.repository import Repository
from destseg.local.servers import Servers
from destseg.storage import s3, versions
from destseg.storage.process import run

from ..comparisons import content
from .line import photograph
from .worker import Worker

PROJECT = Path(__file__).parents[2]
PATIENCE = 1800.0 if os.environ.get("DESTSEG_SOAK") else 240.0
"""Seconds that a test waits for what is to happen."""
ENVIRONMENT: dict[str, str] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["definitions"]["environment"]
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PARAMS: dict[str, Any] = {
    "seed": 0,
    "image": {"size": 64, "bit_depth": 8},
    "split": {"calibration_share": 0.0},
    "validation": {"min_normals": 4, "normals_only": True},
    "ingest": {"min_batch": 1},
    "promotion": {},
    "standin": {"seconds": 0.0, "fails": False, "real": False},
    "teacher": {"source": "formula"},
    "texture": {"source": "builtin", "count": 8},
    "synthesis": {},
    "student": {},
    "categories": {},
}
STAGES = """\
vars: [params.yaml]
stages:
  validate:
    matrix: {category: "${categories}"}
    cmd: python standin.py validate ${item.category}
    deps: ["data/mvtec/${item.category}", "data/mvtec/${item.category}.provenance.jsonl"]
    params: [image, split, validation]
    outs: ["build/${item.category}/accepted.json", "build/${item.category}/validation"]
  student:
    matrix: {category: "${categories}"}
    cmd: python standin.py student ${item.category}
    deps: ["build/${item.category}/accepted.json", "data/mvtec/${item.category}/train", standin.py]
    params: ["categories.${item.category}.standin"]
    outs:
      - build/${item.category}/student.safetensors
      - build/${item.category}/student-loss.csv
      - build/${item.category}/segmentation-loss.csv
  evaluate:
    matrix: {category: "${categories}"}
    cmd: python standin.py evaluate ${item.category}
    deps: ["build/${item.category}/student.safetensors", "data/mvtec/${item.category}", standin.py]
    outs: ["build/${item.category}/evaluation", "build/${item.category}/calibration.json"]
    metrics: ["build/${item.category}/metrics.json"]
  package:
    matrix: {category: "${categories}"}
    cmd: python standin.py package ${item.category}
    deps:
      - build/${item.category}/student.safetensors
      - build/${item.category}/accepted.json
      - build/${item.category}/calibration.json
      - standin.py
    outs: ["build/${item.category}/package"]
"""
# The project's own `destseg`: the installed one, but for what scores images in `compare`, which is a stand-in.
COMMAND = {
    "__init__.py": """\
from pathlib import Path

__path__.append({folder!r})
exec(Path(__path__[-1], "__init__.py").read_text())
""",
    "__main__.py": """\
import runpy
import sys
import types
from pathlib import Path

from destseg import __path__
from standin import compute

name = "destseg.evaluation.compare"
sys.modules[name] = types.ModuleType(name)
sys.modules[name].compute = compute
runpy.run_path(str(Path(__path__[-1], "__main__.py")), run_name="__main__")
""",
}
_serial = itertools.count()


class Factory:
    """On started `servers` (S3 at least): a project with categories, and what a test does to it and sees of it."""

    def __init__(self, servers: Servers) -> None:
        self.servers, self.folder = servers, servers.folder
        self.repository = Repository(self.folder, servers.env)
        self.checkout = self.repository.checkout
        self.workers: list[Worker] = []

    def build(self, categories: Mapping[str, Mapping[str, Any]], *, normals: int = 6, validate: bool = False) -> None:
        """The project in origin, each category with a first dataset version; the mapping holds its overrides.

        With `validate`, the stage of that name is the real one.
        """
        self.repository.prepare()
        (self.checkout / ".dvc").mkdir(exist_ok=True)
        for name in (".dvc/config", ".dvc/.gitignore"):
            shutil.copy(PROJECT / name, self.checkout / name)
        shutil.copy(Path(__file__).with_name("standin.py"), self.checkout / "standin.py")
        (self.checkout / "comparison.json").write_text(json.dumps(content(champion=1)))
        (self.checkout / "destseg").mkdir()
        for name, text in COMMAND.items():
            (self.checkout / "destseg" / name).write_text(text.replace("{folder!r}", repr(str(PROJECT / "destseg"))))
        (self.checkout / "dvc.yaml").write_text(
            STAGES.replace("standin.py validate", "-m destseg validate") if validate else STAGES
        )
        (self.checkout / ".gitignore").write_text("/build\n__pycache__/\n")
        (self.checkout / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        self.repository.publish("A project")
        versions.use_cache(self.checkout, self.folder / "cache" / "dvc")
        with applied(self.servers.env):
            for category in categories:
                source = self.folder / "source" / category / "train" / "good"
                source.mkdir(parents=True)
                for number in range(normals):
                    (source / f"{number}.png").write_bytes(photograph())
                add(category, source.parents[1], self.checkout)
            versions.dvc(self.checkout, "push")
        self.set({category: {"standin": {}, **overrides} for category, overrides in categories.items()})

    @property
    def categories(self) -> list[str]:
        """Those of the checkout's params.yaml."""
        return settings.categories(self.checkout / "params.yaml")

    def set(self, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        """Overrides of these categories, committed and pushed."""
        self.repository.update()
        path = self.checkout / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for category, sections in overrides.items():
            params["categories"][category] = {**(params["categories"].get(category) or {}), **sections}
        path.write_text(yaml.safe_dump(params))
        self.repository.publish(f"Settings of {', '.join(overrides)}")

    def deploy(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """`prefect deploy --all` of the project's prefect.yaml, with what a test shortens in it."""
        content = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
        change(content)
        (self.folder / "prefect.yaml").write_text(yaml.safe_dump(content))
        for pool in ("cpu", "gpu"):
            self.prefect("work-pool", "create", pool, "--type", "process", "--overwrite")
        self.prefect("deploy", "--all")

    def worker(self, pool: str, limit: int = 1) -> Worker:
        """A worker of its own process group, which a test may kill with all that it runs."""
        log = self.folder / "logs" / f"worker-{len(self.workers)}.log"
        worker = Worker(pool, limit, folder=self.folder, env=self.servers.env, log=log)
        self.workers.append(worker)
        return worker

    def prefect(self, *arguments: str) -> str:
        return run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=self.folder,
            env=self.servers.env,
            timeout=120,
        )

    def send(self, category: str, count: int = 2) -> list[str]:
        """A batch of new photographs into the inbox; their SHA-256s."""
        photographs = [photograph() for _ in range(count)]
        with applied(self.servers.env):
            for content in photographs:
                s3.upload(BUCKET, f"inbox/{category}/{next(_serial)}.png", content)
        return [hashlib.sha256(content).hexdigest() for content in photographs]

    def runs(self, flow: str, category: str = "") -> list[dict[str, Any]]:
        """Runs of a deployment, the oldest first, of one category if named."""
        which = {"deployments": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        found: list[dict[str, Any]] = []
        while page := self.post("flow_runs/filter", {**which, "offset": len(found)}):
            found += page
        return [one for one in found if not category or one["parameters"].get("category") == category]

    def start(self, flow: str, *, env: Mapping[str, str] = {}, **parameters: Any) -> str:  # only read
        """A run of the deployment, with these variables on top of its worker's; its id."""
        content = {
            "parameters": parameters,
            "job_variables": {"env": {**ENVIRONMENT, **env}},
            "idempotency_key": str(uuid.uuid4()),
        }
        return str(self.post(f"deployments/{self.deployment(flow)}/create_flow_run", content)["id"])

    def deployment(self, flow: str) -> str:
        """Its id."""
        (found,) = self.post("deployments/filter", {"deployments": {"name": {"any_": [flow]}}})
        return str(found["id"])

    def schedule(self, flow: str, *, on: bool) -> None:
        """Whether the deployment's runs begin by its schedule."""
        self.post(f"deployments/{self.deployment(flow)}/{'resume' if on else 'pause'}_deployment", {})

    def post(self, path: str, content: Mapping[str, Any]) -> Any:
        """The server's answer, asked for until it comes: after a kill, SQLite can be locked for a minute."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return call(self.servers.env, path, content)
            except Error:
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def artifacts(self, run_id: str) -> list[dict[str, Any]]:
        """What a run shows on its page."""
        return list(self.post("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}}))

    def version(self, category: str) -> str:
        """The newest dataset version in origin."""
        return versions.newest_version(self.checkout, category)

    def candidates(self, category: str) -> list[dict[str, str]]:
        """Tags of the category's candidates in the registry, the oldest first."""
        query = urllib.parse.urlencode({"filter": f"name='destseg-{category}-candidates'"})
        address = f"{self.servers.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/model-versions/search?{query}"
        with direct.open(address, timeout=30) as response:
            found = json.load(response).get("model_versions", [])
        found.sort(key=lambda one: int(one["version"]))
        return [{tag["key"]: tag["value"] for tag in one["tags"]} for one in found]

    def challengers(self, category: str) -> list[str]:
        """Dataset versions of the candidates, the oldest first."""
        return [tags["dataset_version"] for tags in self.candidates(category)]

    def cut_short(self, category: str) -> None:
        """Leaves the category's registration as a kill before its last step does: no candidate is the challenger."""
        content = {"name": f"destseg-{category}-candidates", "alias": "challenger"}
        address = f"{self.servers.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/registered-models/alias"
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(address, json.dumps(content).encode(), headers, method="DELETE")
        direct.open(asked, timeout=30).close()

    def kill(self, server: str) -> None:
        """SIGKILL for a server and its children; nobody starts it again."""
        child = self.servers.running[server]
        assert child.pid is not None
        os.killpg(child.pid, signal.SIGKILL)
        self.wait(lambda: child.ended)

    def start_again(self, server: str) -> None:
        """The same server on the same address, until it answers."""
        self.servers.running[server].start()
        self.servers.ready(server)

    def wait(self, what: Callable[[], Any], seconds: float = PATIENCE, every: float = 0.5) -> Any:
        """The first true answer of `what`."""
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, self.story()
            time.sleep(every)
        return found

    def ended(self, run_id: str) -> dict[str, Any]:
        """The run when it has ended."""

        def look() -> dict[str, Any] | None:
            (found,) = self.post("flow_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
            return found if found["state_type"] in FINAL else None

        return dict(self.wait(look))

    def log(self, run_id: str) -> str:
        """The lines that a run has logged."""
        which = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
        lines: list[dict[str, Any]] = []
        while page := self.post("logs/filter", {**which, "offset": len(lines)}):
            lines += page
        return "\n".join(line["message"] for line in lines)

    def said(self, run_id: str, text: str) -> None:
        """Waits for a line of the run's log: lines reach the server some seconds after they were said."""
        self.wait(lambda: text in self.log(run_id))

    def story(self) -> str:
        """What a failed test wants to know."""
        runs = [one for one in self.post("flow_runs/filter", {"sort": "START_TIME_ASC"}) if one["start_time"]]
        lines = [f"{one['name']}: {one['state_name']}, {one['state'].get('message')}" for one in runs]
        for one in runs:
            if one["state_type"] in ("FAILED", "CRASHED"):
                lines.append(f"--- {one['name']}\n{self.log(one['id'])[-3000:]}")
        return "\n".join(lines)
