"""What a user could take instead: anomalib's models with the same backbone, on the same images, size and machine.

    python -m benchmarks.opponents FOLDER --python ANOMALIB/bin/python --note "what else ran" [--worlds screw washer]

ANOMALIB is an environment of its own: `uv venv ANOMALIB`, `uv pip install --python ANOMALIB/bin/python
-r benchmarks/anomalib.txt`. Maps are measured as this project's own are (benchmarks/parts.py). What is on record is not
run again. The memory of patches alone is in benchmarks/changes.py, as a part of compact.
"""

import argparse
import json
import logging
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import parts, worlds
from benchmarks.changes import parameters
from destseg import Error, files
from destseg.bench.machine import describe

log = logging.getLogger("benchmarks.opponents")
HERE = Path(__file__).parent
RESULTS = HERE / "results" / "opponents.json"
MODELS = {"patchcore": "PatchCore", "padim": "PaDiM"}
Record = dict[str, Any]


def measure(world: str, model: str, seed: int, given: Path, python: Path) -> Record:
    """The record of one model on one product: minutes of its training, and its metrics over the whole test set."""
    with tempfile.TemporaryDirectory(prefix="destseg-opponents-") as folder:
        data, out = Path(folder) / world, Path(folder) / "maps.npz"
        worlds.write(world, data, given)
        size = parameters(world, seed, {})["image"]["size"]
        side = min(size, parts.EVALUATED)
        words = ["--model", model, "--size", str(size), "--side", str(side), "--seed", str(seed)]
        done = subprocess.run(
            [str(python), str(HERE / "anomalib_maps.py"), str(data), str(out), *words],
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"},  # else its coreset fragments the heap to 20 GB
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Error(f"{model} on {world} failed:\n{done.stderr[-2000:]}")
        said = json.loads(done.stdout.splitlines()[-1])
        with np.load(out) as found:
            metrics = parts.metrics(world, data, found["maps"], found["scores"], [Path(one) for one in found["paths"]])
    return {"world": world, "model": model, "seed": seed, "size": size, "metrics": metrics, **said}


def table(records: Sequence[Record]) -> str:
    """Markdown: for each product image AUROC / pixel AP of each model, and its minutes."""
    shown = [model for model in MODELS if any(record["model"] == model for record in records)]
    lines = [f"| product | {' | '.join(MODELS[model] for model in shown)} |", f"|{'---|' * (len(shown) + 1)}"]
    for world in worlds.SETTINGS:
        found = {record["model"]: record for record in records if record["world"] == world}
        if found:
            cells = [_cell(found[model]) if model in found else "" for model in shown]
            lines.append(f"| {world.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(record: Record) -> str:
    auroc, ap = (record["metrics"][name] for name in ("image_auroc", "pixel_ap"))
    return f"{auroc:.3f} / {'-' if ap is None else f'{ap:.3f}'} ({record['minutes']} min)"


def main() -> None:
    """Measures what is not on record, and prints the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", type=Path, help="folder that holds the photographed categories, in MVTec's layout")
    parser.add_argument("--python", type=Path, required=True, help="of the environment that anomalib is installed in")
    parser.add_argument("--worlds", nargs="+", choices=list(worlds.SETTINGS), default=list(worlds.SETTINGS))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", required=True, help="what else ran on the machine")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    records: list[Record] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    machine = asdict(describe(torch.device("cpu")))
    for model in chosen.models:
        for world in chosen.worlds:
            if any((one["world"], one["model"], one["seed"]) == (world, model, chosen.seed) for one in records):
                continue
            record = measure(world, model, chosen.seed, chosen.given.resolve(), chosen.python)
            log.info("%s, %s: %s min, %s", world, model, record["minutes"], record["metrics"])
            records.append({**record, "machine": machine, "note": chosen.note})
            records.sort(key=lambda one: (list(worlds.SETTINGS).index(one["world"]), one["model"], one["seed"]))
            files.write_text(RESULTS, "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n")
    print(table(records))


if __name__ == "__main__":
    main()
