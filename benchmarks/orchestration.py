"""An hour of a factory: batches arrive at random, the deployments do the rest; what was lost, and how long it took.

    make soak NOTE="nothing else ran"                      # 200 categories, 60 batches: results/orchestration.json
    python -m benchmarks.orchestration --minutes 5 --categories 10 --batches 10 --out /tmp/short.json

Real servers: Prefect on PostgreSQL with the project's own deployments, MLflow, rclone's S3, git; a worker of each work
pool. Ingest, validation, DVC, the registry are real; training, evaluation and packaging are a stand-in that sleeps, as
on a GPU that is somewhere else (tests/integration/standin.py).
"""

import argparse
import json
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.sampler import Sampler
from destseg.bench.machine import describe
from destseg.dataset import provenance
from destseg.files import write_text
from destseg.local.environment import BUCKET, applied
from destseg.local.prefect_api import call
from destseg.local.servers import Servers
from destseg.storage import s3
from tests.integration.factory import FINAL, Factory
from tests.integration.postgres import postgres
from tests.integration.standin import LOG

RESULTS = Path(__file__).parent / "results" / "orchestration.json"
TRAINING_SECONDS = (5.0, 15.0)
PHOTOGRAPHS = (1, 8)
RUNS_AT_ONCE = 2  # of each worker
DRAIN_SECONDS = 1800.0
log = logging.getLogger("benchmarks.orchestration")
Batch = dict[str, Any]
"""`category`, `at` (seconds since 1970), `images` (SHA-256s)."""


@contextmanager
def running(folder: Path, categories: list[str], rng: random.Random) -> Iterator[tuple[Factory, Sampler]]:
    """The installation with its categories, before the first batch."""
    with postgres() as database, Servers(folder) as servers:
        servers.env |= {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.address,
            LOG: str(folder / "trainings.jsonl"),
        }
        servers.s3()
        servers.ready("s3")
        factory = Factory(servers)
        log.info("making %d categories", len(categories))
        factory.build(
            {name: {"standin": {"seconds": round(rng.uniform(*TRAINING_SECONDS), 1)}} for name in categories},
            validate=True,
        )
        servers.prefect()
        servers.mlflow()
        servers.ready("mlflow")
        servers.ready("prefect")
        factory.deploy()
        pids = {name: child.pid for name, child in servers.running.items() if child.pid}
        for pool in ("cpu", "gpu"):
            pids[f"worker-{pool}"] = factory.worker(pool, limit=RUNS_AT_ONCE).process.pid
        pids["postgres"] = int((database.data / "postmaster.pid").read_text().split()[0])
        yield factory, Sampler(pids, database.data / "base")


def arrive(factory: Factory, sampler: Sampler, times: list[float], end: float, rng: random.Random) -> list[Batch]:
    """Sends a batch at each of these times (seconds from now) to a random category; returns at `end`."""
    begun, categories = time.time(), factory.categories
    sent: list[Batch] = []
    for at in [*times, end]:
        while (left := begun + at - time.time()) > 0:
            time.sleep(min(left, 5.0))
            sampler.look()
        if len(sent) < len(times):
            category, count = rng.choice(categories), rng.randint(*PHOTOGRAPHS)
            images = factory.send(category, count)
            sent.append({"category": category, "at": time.time(), "images": images})
            log.info("%.0f s: batch %d of %d, %d photographs of %s", at, len(sent), len(times), count, category)
    return sent


def drain(factory: Factory) -> float:
    """Seconds until the inbox is empty and no run is under way; half an hour at most."""
    begun, quiet = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < DRAIN_SECONDS:
        with applied(factory.servers.env):
            waiting = sum(1 for _ in s3.list_objects(BUCKET, "inbox/"))
        busy = sum(run["state_type"] not in FINAL for name in ("ingest", "retrain") for run in factory.runs(name))
        quiet = 0 if waiting or busy else quiet + 1
        if quiet == 4:  # an event may be on its way
            break
        log.info("draining: %d objects in the inbox, %d runs under way", waiting, busy)
        time.sleep(10)
    return passed


def verdict(factory: Factory, sent: list[Batch]) -> dict[str, int]:
    """What is missing, and what is there twice."""
    factory.repository.update()
    found = Counter[str](photographs=sum(len(batch["images"]) for batch in sent))
    for category in sorted({batch["category"] for batch in sent}):
        known = Counter(record["sha256"] for record in provenance.read(factory.checkout, category))
        images = [image for batch in sent if batch["category"] == category for image in batch["images"]]
        trained = Counter(factory.challengers(category))
        found["photographs_lost"] += sum(known[image] == 0 for image in images)
        found["photographs_doubled"] += sum(count > 1 for count in known.values())
        found["newest_versions_untrained"] += trained[factory.version(category)] == 0
        found["versions_registered_twice"] += sum(count > 1 for count in trained.values())
    return dict(found)


def latencies(sent: list[Batch], trainings: list[dict[str, Any]]) -> list[float]:
    """Seconds from a batch's arrival to the start of the first training that had its first photograph."""
    begun = [[one["begun"] for one in trainings if batch["images"][0] in one["images"]] for batch in sent]
    return [min(times) - batch["at"] for times, batch in zip(begun, sent, strict=True) if times]


def quantiles(values: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {name: round(float(np.quantile(values, q)), 1) for name, q in (("p50", 0.5), ("p99", 0.99)) if values}


def run_seconds(factory: Factory, name: str) -> dict[str, Any]:
    """How many runs there were, how they ended, and how long the completed ones took."""
    runs = [run for run in factory.runs(name) if run["state_type"] in FINAL]
    done = [run["total_run_time"] for run in runs if run["state_type"] == "COMPLETED"]
    return {"runs": len(runs), "not_completed": len(runs) - len(done), **quantiles(done)}


def start_seconds(factory: Factory, name: str) -> list[float]:
    """Seconds from a worker's taking a run to its running, which is where `run_s` begins: the start of a process."""
    found = []
    for run in factory.runs(name):
        states = call(factory.servers.env, f"flow_run_states/?flow_run_id={run['id']}")
        first = {state["type"]: datetime.fromisoformat(state["timestamp"]) for state in reversed(states)}
        if {"PENDING", "RUNNING"} <= first.keys():
            found.append((first["RUNNING"] - first["PENDING"]).total_seconds())
    return found


def task_seconds(factory: Factory) -> dict[str, float]:
    """Median seconds of each task: where the time of a run goes, `reproduce` with the stand-in's sleep in it."""
    found: list[dict[str, Any]] = []
    while page := factory.post("task_runs/filter", {"offset": len(found)}):
        found += page
    by_name: dict[str, list[float]] = {}
    for task in found:
        by_name.setdefault(task["name"].partition("-part-")[0], []).append(task["total_run_time"])
    return {name: round(float(np.median(times)), 1) for name, times in sorted(by_name.items())}


def main() -> None:
    """Prepares, lets the time pass, counts."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--categories", type=int, default=200)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    categories = [f"part-{number:03}" for number in range(options.categories)]
    end = options.minutes * 60
    times = sorted(rng.uniform(0, end) for _ in range(options.batches))
    with (
        tempfile.TemporaryDirectory() as temporary,
        running(Path(temporary), categories, rng) as (factory, sampler),
    ):
        sent = arrive(factory, sampler, times, end, rng)
        drained = drain(factory)
        servers = sampler.summary()
        text = Path(factory.servers.env[LOG]).read_text(encoding="utf-8")
        trainings = [json.loads(line) for line in text.splitlines()]
        record = {
            "machine": asdict(describe(torch.device("cpu"))),
            "versions": {name: version(name) for name in ("prefect", "mlflow", "dvc", "sqlalchemy")},
            "note": options.note,
            "minutes": options.minutes,
            "categories": options.categories,
            "batches": len(sent),
            **verdict(factory, sent),
            "trainings": len(trainings),
            "batches_that_reached_training": len(latencies(sent, trainings)),
            "arrival_to_training_s": quantiles(latencies(sent, trainings)),
            "drained_after_s": round(drained, 1),
            "run_s": {name: run_seconds(factory, name) for name in ("poll", "ingest", "retrain", "rescue")},
            "start_s": {name: quantiles(start_seconds(factory, name)) for name in ("ingest", "retrain")},
            "task_s": task_seconds(factory),
            "stand_in_s": quantiles([one["ended"] - one["begun"] for one in trainings]),
            "servers": servers,
            "database_growth_mb": sampler.database_growth_mb(),
        }
    print(json.dumps(record, indent=2))
    write_text(options.out, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
