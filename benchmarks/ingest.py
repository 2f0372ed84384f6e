"""Seconds and memory of 100 new photographs becoming a version of a dataset of many: prints a table, records it.

    python -m benchmarks.ingest                    # 1,000, 3,000 and 10,000 images of 1 Mpx: results/ingest.json

Real servers: rclone's S3 on disk, git, DVC. The run that is measured has an empty clone and an empty DVC cache, as on a
worker that has never seen the dataset; it is a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.photographs import SIDE, photographs
from destseg.ingest.add import add
from destseg.local.environment import BUCKET, applied
from destseg.local.repository import Repository
from destseg.local.servers import Servers
from destseg.storage import s3, versions

RESULTS = Path(__file__).parent / "results" / "ingest.json"
NEW = 100
COLUMNS = ("images", "add_s", "ingest_s", "peak_memory_mb")
CONFIG = f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = s3://{BUCKET}/dvc\n"
log = logging.getLogger("benchmarks.ingest")


def prepared(folder: Path, repository: Repository, count: int) -> float:
    """Seconds of `destseg dataset add` for a first version of `count` images; it is pushed, and 100 more sent."""
    source = folder / "source" / "train" / "good"
    source.mkdir(parents=True)
    for index, content in enumerate(photographs(count)):
        (source / f"{index:05}.jpg").write_bytes(content)
    repository.prepare()
    root = repository.checkout
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(CONFIG, encoding="utf-8")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n", encoding="utf-8")
    (root / "params.yaml").write_text("categories: {}\n", encoding="utf-8")
    repository.publish("A project without data")
    versions.use_cache(root, folder / "first-cache")
    start = time.monotonic()
    add("tiles", source.parents[1], root)
    seconds = time.monotonic() - start
    versions.dvc(root, "push", "data/mvtec/tiles.dvc")
    repository.publish("First version")
    for index, content in enumerate(photographs(NEW, seed=1)):
        s3.upload(BUCKET, f"inbox/tiles/{index}.jpg", content)
    return seconds


def measured(folder: Path, count: int) -> dict[str, Any]:
    """One row of the table."""
    with Servers(folder) as servers:
        servers.s3()
        servers.ready("s3")
        with applied(servers.env):
            repository = Repository(folder, servers.env)
            add_s = prepared(folder, repository, count)
            versions.git(folder, "clone", "--quiet", str(repository.origin), "worker")
            root = folder / "worker"
            versions.use_cache(root, folder / "worker-cache")
            start = time.monotonic()
            command = [sys.executable, "-m", "destseg", "ingest", "tiles", "--json"]
            with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                said = json.load(process.stdout)
                _, status, used = os.wait4(process.pid, 0)  # of it and of the git and DVC that it ran
                process.returncode = os.waitstatus_to_exitcode(status)
            ingest_s = time.monotonic() - start
    assert said["accepted"] == NEW, said
    peak = used.ru_maxrss * 1024 / 1e6
    row = {"images": count, "add_s": round(add_s, 1), "ingest_s": round(ingest_s, 1), "peak_memory_mb": round(peak)}
    log.info("%s", row)
    return row


def table(record: dict[str, Any]) -> str:
    """Markdown: a row for each size of the dataset."""
    lines = ["| images before | `dataset add`, s | 100 new ones, s | peak memory, MB |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(f'{row[name]:,}' for name in COLUMNS)} |" for row in record["rows"])])


def main() -> None:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--note", default="", help="what else ran on the machine")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    rows = []
    for count in chosen.images:
        with tempfile.TemporaryDirectory(prefix="destseg-ingest-") as folder:
            rows.append(measured(Path(folder), count))
    import torch  # not before: Linux counts what a process holds when it forks as its child's peak memory

    from destseg.bench.machine import describe

    machine = asdict(describe(torch.device("cpu")))
    record = {"machine": machine, "note": chosen.note, "side": SIDE, "new": NEW, "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
