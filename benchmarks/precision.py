"""Whether bfloat16 costs accuracy: three seeds in each precision on the magnetic tiles, into results/precision.json.

    python -m benchmarks.precision ../shared/data/mvtec/magnetic_tile --jobs 2

A processor without bfloat16 emulates it (benchmarks/bfloat16.py). Two runs at once take some 20 minutes on 2 cores.
"""

import argparse
import json
import logging
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality import METRICS, STAGES, Run, stage, workspace
from destseg.bench.machine import describe
from destseg.model.device import has_bfloat16

log = logging.getLogger("benchmarks.precision")
RESULTS = Path(__file__).parent / "results" / "precision.json"
SEEDS = (0, 1, 2)
CPU = torch.device("cpu")
SETTINGS: dict[str, dict[str, Any]] = {
    "split": {"calibration_share": 0.0},
    "synthesis": {"crop": 128, "flips": "both", "grey": True, "own_share": 0.5},
    "student": {"steps": 120, "batch": 8, "schedule": "cosine"},
    "segmentation": {"steps": 120, "batch": 8, "width": 64, "schedule": "cosine"},
}


def runs(dataset: str) -> list[Run]:
    """Each seed in float32 and in bfloat16."""
    found = []
    for seed in SEEDS:
        for precision in ("float32", "bfloat16"):
            chosen = {name: SETTINGS[name] | {"precision": precision} for name in ("student", "segmentation")}
            settings = SETTINGS | chosen
            found.append(Run(name=precision, dataset=dataset, teacher="final", seed=seed, settings=settings))
    return found


def measure(run: Run, source: Path, threads: int) -> dict[str, Any]:
    """Trains and evaluates; of a bfloat16 run also how far scores in bfloat16 are from those in float32."""
    narrow = run.name == "bfloat16"
    program = "benchmarks.bfloat16" if narrow else "destseg"
    with workspace(run, source, Path(), threads) as root:
        for verb in STAGES:
            stage(root, threads, verb, run.dataset, program="destseg" if verb == "evaluate" else program)
        metrics = json.loads((root / "build" / run.dataset / "metrics.json").read_text(encoding="utf-8"))
        said = stage(root, threads, "scores", run.dataset, program=program) if narrow else "{}"
    record = asdict(run) | {
        "emulated": narrow and not has_bfloat16(CPU),
        "threads": threads,
        "scoring": json.loads(said),
    }
    log.info("%s, seed %d: %s", run.name, run.seed, {name: round(metrics[name], 3) for name in METRICS})
    return record | {name: round(metrics[name], 4) for name in METRICS}


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: mean ± standard deviation over the seeds, for each precision."""
    lines = ["| training | " + " | ".join(METRICS) + " |", "|" + "---|" * (len(METRICS) + 1)]
    for precision in ("float32", "bfloat16"):
        columns = [[record[name] for record in records if record["name"] == precision] for name in METRICS]
        cells = [f"{statistics.mean(column):.3f} ± {statistics.stdev(column):.3f}" for column in columns]
        lines.append(f"| {precision} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of the magnetic tiles in MVTec's layout")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each with its share of the cores")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    threads = max(1, (os.cpu_count() or 1) // chosen.jobs)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        plan = runs(chosen.dataset.resolve().name)
        records = list(pool.map(lambda run: measure(run, chosen.dataset, threads), plan))
    machine = asdict(describe(CPU))
    RESULTS.write_text(json.dumps([record | {"machine": machine} for record in records], indent=1) + "\n", "utf-8")
    print(table(records))


if __name__ == "__main__":
    main()
