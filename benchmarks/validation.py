"""Seconds and memory of `destseg validate` on many images: prints a table, records it in results/validation.json.

    python -m benchmarks.validation                    # 1,000, 3,000 and 10,000 images of 1 Mpx

Three runs for each size, each a process of its own: the first sees every file for the first time, the second has seen
all, the third all but 100. Beside them what has to be done at least: reading, hashing, decoding each file on all cores.
"""

import argparse
import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.photographs import SIDE, photographs

RESULTS = Path(__file__).parent / "results" / "validation.json"
NEW = 100
DEFECTS = 10
COLUMNS = ("images", "decode_s", "first_s", "again_s", "with_new_s", "beyond_ms", "peak_memory_mb")
log = logging.getLogger("benchmarks.validation")


def prepared(root: Path, count: int) -> Path:
    """A repository with the category `tiles`: `count` images, some of them defects; its folder."""
    (root / "params.yaml").write_text("categories: {tiles: {}}\n", encoding="utf-8")
    folder = root / "data/mvtec/tiles"
    for kind in ("train/good", "test/good", "test/scratch", "ground_truth/scratch"):
        (folder / kind).mkdir(parents=True)
    for index, content in enumerate(photographs(count)):
        place = {0: "test/scratch", 1: "test/good"}.get(index // DEFECTS, "train/good")
        (folder / place / f"{index:05}.jpg").write_bytes(content)
        if place == "test/scratch":
            mask = Image.new("L", (SIDE, SIDE))
            mask.paste(255, (100, 100, 400, 400))
            mask.save(folder / f"ground_truth/scratch/{index:05}_mask.png")
    return folder


def decoded(folder: Path) -> float:
    """Seconds to read, hash and decode every image on all cores, and nothing else."""

    def one(path: Path) -> None:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    start = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, folder.rglob("*.jpg")))
    return time.monotonic() - start


def validated(root: Path) -> tuple[float, float]:
    """(seconds, peak memory in MB) of the whole command."""
    start = time.monotonic()
    command = [sys.executable, "-m", "destseg", "validate", "tiles", "--json"]
    env = {**os.environ, "DESTSEG_CACHE": str(root / "cache")}
    with subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.load(process.stdout)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert said["accepted"], said
    return time.monotonic() - start, used.ru_maxrss * 1024 / 1e6


def measured(root: Path, count: int) -> dict[str, Any]:
    """One row of the table."""
    folder = prepared(root, count)
    decoded(folder)  # the files are in the page cache for all that follows
    decode_s = decoded(folder)
    first_s, peak = validated(root)
    again_s, _ = validated(root)
    for index, content in enumerate(photographs(NEW, seed=1)):
        (folder / f"train/good/new{index:05}.jpg").write_bytes(content)
    with_new_s, _ = validated(root)
    beyond = (first_s - decode_s) * (os.cpu_count() or 1) / count * 1000
    row = {
        "images": count,
        "decode_s": round(decode_s, 1),
        "first_s": round(first_s, 1),
        "again_s": round(again_s, 1),
        "with_new_s": round(with_new_s, 1),
        "beyond_ms": round(beyond, 1),
        "peak_memory_mb": round(peak),
    }
    log.info("%s", row)
    return row


def table(record: dict[str, Any]) -> str:
    """Markdown: a row for each size of the dataset."""
    lines = [
        "| images | read, hash, decode, s | first time, s | again, s | with 100 new, s "
        "| beyond decoding, ms per image and core | peak memory, MB |",
        "|---|---|---|---|---|---|---|",
    ]
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
        with tempfile.TemporaryDirectory(prefix="destseg-validation-") as folder:
            rows.append(measured(Path(folder), count))
    import torch  # not before: Linux counts what a process holds when it forks as its child's peak memory

    from destseg.bench.machine import describe

    machine = asdict(describe(torch.device("cpu")))
    record = {"machine": machine, "note": chosen.note, "side": SIDE, "new": NEW, "rows": rows}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
