"""`destseg up --check`: whether everything that `destseg up` started is well; it starts and changes nothing."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from destseg import Error
from destseg.local import children, loopback, prefect_api
from destseg.local.environment import FOLDER
from destseg.local.lock import held
from destseg.local.repository import BRANCH, stale_locks
from destseg.local.servers import PARTIAL
from destseg.local.up import POOLS

HEALTH = {"s3": "", "prefect": "/api/health", "mlflow": "/health", "review": "/health", "status": "/status.json"}
# What MVTec AD takes, all fifteen categories of it; a run's workspace is a copy of its dataset.
LEAST_FREE_BYTES = 5_000_000_000


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    well: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Everything that was looked at."""

    folder: Path
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.well for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "well": self.well, "findings": [asdict(found) for found in self.findings]}

    def __str__(self) -> str:
        lines = [f"{'well ' if found.well else 'WRONG'}  {found.what}: {found.text}" for found in self.findings]
        wrong = sum(not found.well for found in self.findings)
        last = f"{wrong} of {len(lines)} are wrong" if wrong else "everything that `destseg up` started is well"
        return "\n".join([*lines, last])


def check(root: Path = Path(), *, folder: Path = FOLDER) -> Checked:
    """Looks at <root>/<folder> and at what should run on it."""
    place = (root / folder).resolve()
    if not place.is_dir():
        missing = Finding(what="folder", well=False, text=f"{place} is not there; `destseg up` makes it")
        return Checked(folder=place, findings=(missing,))
    return Checked(folder=place, findings=tuple(_findings(root, place)))


def _findings(root: Path, folder: Path) -> Iterator[Finding]:
    owner = held(folder)
    running = f"process {owner} holds {folder / 'lock'}"
    yield _finding("lock", bool(owner), running if owner else "nobody holds it: neither `up` nor `demo` is running")
    yield from _attempts("ports", lambda: _servers(folder))
    yield from _attempts("prefect", lambda: _flows(root, folder))
    yield _disk(folder)
    yield _origin(folder)
    yield _registry(folder)
    yield _leftovers(folder, running=owner is not None)


def _finding(what: str, well: bool, text: str) -> Finding:
    return Finding(what=what, well=well, text=text)


def _attempts(what: str, looks: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What `looks` finds; what keeps it from looking is a finding."""
    try:
        yield from looks()
    except (Error, OSError, yaml.YAMLError) as error:
        yield _finding(what, False, str(error))


def _servers(folder: Path) -> Iterator[Finding]:
    ports = loopback.known_ports(folder)
    for name, path in HEALTH.items():
        if name not in ports:
            yield _finding(name, False, f"{folder / 'ports.json'} names no port of it: it was never started")
            continue
        address = f"http://{loopback.HOST}:{ports[name]}"
        well = loopback.answers(address + path)
        log = "" if name == "status" else f"; its log is {folder / 'logs' / name}.log"
        yield _finding(name, well, f"{address} answers" if well else f"{address} does not answer{log}")
    if "status" in ports:
        yield from _children(f"http://{loopback.HOST}:{ports['status']}/status.json")


def _children(address: str) -> Iterator[Finding]:
    """What the running `up` says of each of its processes."""
    try:
        with loopback.direct.open(address, timeout=5) as response:
            servers = json.load(response)["servers"]
    except (OSError, ValueError, KeyError):  # that it does not answer is said already
        return
    for server in servers:
        text = f"{server['state']} since {server['since']}"
        if server["last_exit"]:
            text += f", started again {server['restarts']} times, last end: {server['last_exit']}"
        yield _finding(f"process {server['name']}", server["state"] == "up", text)


def _flows(root: Path, folder: Path) -> Iterator[Finding]:
    path = folder / "credentials.json"
    port = loopback.known_ports(folder).get("prefect")
    if not path.exists() or port is None:
        yield _finding("workers", False, "not looked at: there was no Prefect server in this folder yet")
        return
    env = json.loads(path.read_text(encoding="utf-8")) | {"PREFECT_API_URL": f"http://{loopback.HOST}:{port}/api"}
    there = prefect_api.deployments(env)
    for pool in sorted({*POOLS, *there.values()}):
        if not prefect_api.has_pool(env, pool):
            yield _finding(f"work pool {pool}", False, "Prefect does not know it; `destseg up` makes it at its start")
            continue
        online = prefect_api.online_workers(env, pool)
        text = f"{online} online" if online else "none is online: its flow runs wait"
        yield _finding(f"workers of {pool}", online > 0, text)
    yield _deployments(root, there)


def _deployments(root: Path, there: Mapping[str, str]) -> Finding:
    path = root / "prefect.yaml"
    if not path.is_file():
        return _finding("deployments", bool(there), f"{', '.join(sorted(there)) or 'none'}; no {path} to compare with")
    wanted = [entry["name"] for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]]
    missing = [name for name in wanted if name not in there]
    if missing:
        text = f"{', '.join(missing)} of {path} are not deployed: end `destseg up` and start it again"
        return _finding("deployments", False, text)
    return _finding("deployments", True, ", ".join(wanted))


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    text = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.0f} GB are free"
    if usage.free < LEAST_FREE_BYTES:
        return _finding("disk", False, f"{text}, fewer than {LEAST_FREE_BYTES / 1e9:.0f}: make room")
    return _finding("disk", True, text)


def _origin(folder: Path) -> Finding:
    origin = folder / "origin.git"
    command = ["git", "ls-remote", "--exit-code", str(origin), f"refs/heads/{BRANCH}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return _finding("git origin", False, f"{origin} said nothing for 30 s")
    if done.returncode:
        why = done.stderr.strip().splitlines()[:1] or [f"it has no branch {BRANCH}"]
        return _finding("git origin", False, f"{origin} cannot be cloned: {why[0]}")
    return _finding("git origin", True, f"{origin}, {BRANCH} at {done.stdout[:8]}")


def _registry(folder: Path) -> Finding:
    store = folder / "mlflow.db"
    if not store.exists():
        return _finding("MLflow database", False, f"{store} is not there; `destseg up` makes it")
    try:
        connection = sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            (models,) = connection.execute("SELECT count(*) FROM registered_models").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return _finding("MLflow database", False, f"{store} cannot be read: {error}; bring back a copy of it")
    return _finding("MLflow database", True, f"{store}, {models} registered models")


def _leftovers(folder: Path, *, running: bool) -> Finding:
    """Of a run that was killed: processes that nobody looks after, locks and partial uploads that nobody holds."""
    left = [] if running else [f"process {process.pid}" for process in children.owned(folder)]
    left += [str(path) for path in stale_locks(folder / "origin.git")]
    if not running:
        left += [str(path) for path in (folder / "s3").rglob(PARTIAL)]
    if not left:
        return _finding("leftovers", True, "none of a killed run")
    return _finding("leftovers", False, f"of a killed run: {', '.join(left)}; the next `destseg up` removes them")
