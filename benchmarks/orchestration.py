"""An hour of a factory: batches arrive at random, the deployments do the rest; what was lost, and how long it took.

    python -m benchmarks.orchestration                     # 200 categories, 60 batches, results/orchestration.json
    python -m benchmarks.orchestration --minutes 5 --categories 10 --batches 10

Real servers: Prefect on PostgreSQL with the project's own deployments, MLflow, rclone's S3, git; one worker per work pool.
Real are ingest, validation, DVC, the registry; training, evaluation and packaging are a stand-in that sleeps, as on a GPU
that is somewhere else (tests/integration/standin.py).
"""

import argparse
import json
import logging
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.servers import Sampler
from destseg.bench.machine import describe
from destseg.dataset import provenance
from destseg.files import write_text
from destseg.local.environment import BUCKET, applied
from destseg.local.servers import Servers, free_port
from destseg.storage import s3
from tests.integration.factory import FINAL, Factory
from tests.integration.postgres import postgres
from tests.integration.standin import LOG

RESULTS = Path(__file__).parent / "results" / "orchestration.json"
TRAINING_SECONDS = (5.0, 15.0)
PHOTOGRAPHS = (1, 8)
DRAIN_SECONDS = 1800.0
log = logging.getLogger("benchmarks.orchestration")


@contextmanager
def running(folder: Path, categories: int, rng: random.Random) -> Iterator[Factory]:
    """The installation with its categories, before the first batch."""
    with postgres(folder / "postgres", free_port()) as database, Servers(folder / "local") as servers:
        servers.env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database
        servers.env[LOG] = str(folder / "trainings.jsonl")
        servers.s3()
        servers.ready("s3")
        factory = Factory(servers)
        named = {f"part-{number:03}": {"seconds": round(rng.uniform(*TRAINING_SECONDS), 1)} for number in range(categories)}
        log.info("making %d categories", categories)
        factory.build(named, validate=True)
        servers.prefect()
        servers.mlflow()
        servers.ready("mlflow")
        servers.ready("prefect")
        factory.deploy()
        factory.worker("cpu", limit=2)
        factory.worker("gpu", limit=2)
        yield factory


def arrive(factory: Factory, categories: list[str], batches: int, minutes: float, rng: random.Random) -> list[dict[str, Any]]:
    """Sends the batches at random times; (category, time, SHA-256s) of each."""
    times = sorted(rng.uniform(0, minutes * 60) for _ in range(batches))
    begun, sent = time.time(), []
    for at in times:
        while (left := begun + at - time.time()) > 0:
            time.sleep(min(left, 1.0))
        category = rng.choice(categories)
        names = factory.send(category, rng.randint(*PHOTOGRAPHS))
        sent.append({"category": category, "at": time.time(), "images": names})
        log.info("%4.0f s: batch %d of %d, %d photographs of %s", at, len(sent), batches, len(names), category)
    while (left := begun + minutes * 60 - time.time()) > 0:
        time.sleep(min(left, 1.0))
    return sent


def drain(factory: Factory) -> float:
    """Seconds until the inbox is empty and no run is under way."""
    begun = time.monotonic()
    while time.monotonic() - begun < DRAIN_SECONDS:
        with applied(factory.servers.env):
            waiting = sum(1 for _ in s3.list_objects(BUCKET, "inbox/"))
        busy = [run for name in ("ingest", "retrain") for run in factory.runs(name) if run["state_type"] not in FINAL]
        if not waiting and not busy:
            break
        log.info("draining: %d objects in the inbox, %d runs under way", waiting, len(busy))
        time.sleep(10)
    return time.monotonic() - begun


def verdict(factory: Factory, sent: list[dict[str, Any]]) -> dict[str, Any]:
    """What is missing, and what is there twice."""
    factory.repository.update()
    lost = doubled = untrained = registered_twice = 0
    for category in sorted({batch["category"] for batch in sent}):
        known = Counter(record["sha256"] for record in provenance.read(factory.checkout, category))
        images = [image for batch in sent if batch["category"] == category for image in batch["images"]]
        lost += sum(known[image] == 0 for image in images)
        doubled += sum(count > 1 for count in known.values())
        trained = Counter(factory.challengers(category))
        untrained += trained[factory.version(category)] == 0
        registered_twice += sum(count > 1 for count in trained.values())
    return {
        "photographs": sum(len(batch["images"]) for batch in sent),
        "photographs_lost": lost,
        "photographs_doubled": doubled,
        "newest_versions_untrained": untrained,
        "versions_registered_twice": registered_twice,
    }


def latencies(sent: list[dict[str, Any]], trainings: list[dict[str, Any]]) -> list[float]:
    """Seconds from a batch's arrival to the start of the first training that had one of its photographs."""
    found = []
    for batch in sent:
        begun = [
            one["begun"] for one in trainings if one["category"] == batch["category"] and batch["images"][0] in one["images"]
        ]
        if begun:
            found.append(min(begun) - batch["at"])
    return found


def quantiles(values: list[float]) -> dict[str, float]:
    return {name: round(float(np.quantile(values, q)), 1) for name, q in (("p50", 0.5), ("p99", 0.99))} if values else {}


def seconds_of(runs: list[dict[str, Any]]) -> list[float]:
    return [run["total_run_time"] for run in runs if run["state_type"] == "COMPLETED"]


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--categories", type=int, default=200)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", default="", help="what else ran on the machine")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary, running(Path(temporary), options.categories, rng) as factory:
        names = [f"part-{number:03}" for number in range(options.categories)]
        with Sampler(factory.servers.folder) as sampler:
            before = factory.database_bytes()
            sent = arrive(factory, names, options.batches, options.minutes, rng)
            drained = drain(factory)
            grown = factory.database_bytes() - before
        path = Path(factory.servers.env[LOG])
        trainings = [json.loads(line) for line in path.read_text().splitlines()]
        retrains = factory.runs("retrain")
        trained = [run for run in retrains if run["id"]]
        waits = latencies(sent, trainings)
        record = {
            "machine": asdict(describe(torch.device("cpu"))),
            "note": options.note,
            "minutes": options.minutes,
            "categories": options.categories,
            "batches": len(sent),
            **verdict(factory, sent),
            "trainings": len(trainings),
            "arrival_to_training_s": quantiles(waits),
            "drained_after_s": round(drained, 1),
            "run_seconds": {
                name: {"runs": len(factory.runs(name)), **quantiles(seconds_of(factory.runs(name)))}
                for name in ("poll", "ingest", "retrain")
            },
            "stand_in_s": quantiles([one["ended"] - one["begun"] for one in trainings]),
            "failed_runs": sum(run["state_type"] in ("FAILED", "CRASHED") for run in factory.post("flow_runs/filter", {})),
            "database_growth_mb": round(grown / 1e6, 2),
            "servers": sampler.summary(),
        }
        log.info("%d retrain runs, %d of them trained", len(retrains), len(trained))
    print(json.dumps(record, indent=2))
    write_text(RESULTS, json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
