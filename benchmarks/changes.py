"""What compact finds on each product, and what each change of its settings gives there: trains, records, prints.

    python -m benchmarks.changes FOLDER --note "what else ran" [--worlds screw washer] [--seeds 0 1 2] [--jobs 2]

FOLDER holds the photographed categories. Each run is what changes.yaml says over the preset compact and over what is
known of the product (worlds.py). The stages are the pipeline's own, called as `dvc repro` calls them, in a scratch
folder; those that a change does not touch are not repeated. What is on record is not run again.
"""

import argparse
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import worlds
from benchmarks.quality import stage
from destseg import files
from destseg.bench.machine import describe
from destseg.dataset.layout import build_dir, dataset_dir
from destseg.presets.preset import load

log = logging.getLogger("benchmarks.changes")
HERE = Path(__file__).parent
RESULTS = HERE / "results" / "changes.json"
PLAN = HERE / "changes.yaml"
SHIPPED = "as shipped"
# Each stage, and the sections of params.yaml that it is the first to read.
STAGES = {
    "validate": ("image", "split", "validation"),
    "teacher fetch": ("teacher",),
    "student": ("synthesis", "texture", "student"),
    "segmentation": ("segmentation",),
    "memory": ("memory",),
}
PARTS = ("segmentation net", "DeST", "memory", "sum")
Settings = dict[str, dict[str, Any]]
Record = dict[str, Any]


def planned() -> dict[str, Settings]:
    """What each change sets, by its name, and before them what nothing is changed in."""
    return {SHIPPED: {}, **yaml.safe_load(PLAN.read_text(encoding="utf-8"))}


def first_stage(change: Settings) -> str:
    """The first stage that a change touches."""
    return next((verb for verb, sections in STAGES.items() if set(sections) & set(change)), next(iter(STAGES)))


def measure(world: str, seed: int, changes: Mapping[str, Settings], given: Path, threads: int) -> Iterator[Record]:
    """A record of each change on one product: settings, minutes, the metrics of each part.

    The first of `changes` runs all stages; the others start from what it left, at the first stage that they touch.
    """
    with tempfile.TemporaryDirectory(prefix="destseg-changes-") as folder:
        root = Path(folder)
        worlds.write(world, dataset_dir(world, root), given)
        build, kept = build_dir(world, root), root / "kept"
        for name, change in changes.items():
            params = parameters(world, seed, change)
            (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
            first = first_stage(change) if kept.exists() else next(iter(STAGES))
            if kept.exists():
                shutil.rmtree(build)
                shutil.copytree(kept, build)
            start = time.monotonic()
            for verb in list(STAGES)[list(STAGES).index(first) :]:
                stage(root, threads, *verb.split(), world)
            minutes = (time.monotonic() - start) / 60
            if not kept.exists():
                shutil.copytree(build, kept)
            parts = json.loads(stage(root, threads, world, program="benchmarks.parts"))
            yield {
                "world": world,
                "seed": seed,
                "change": name,
                "from": first,
                "minutes": round(minutes, 1),
                "threads": threads,
                "parts": parts,
                "settings": recorded(params),
            }


def parameters(world: str, seed: int, change: Settings) -> dict[str, Any]:
    """params.yaml as shipped, of the preset compact, with what is known of the product and what is changed."""
    params: dict[str, Any] = yaml.safe_load((HERE.parent / "params.yaml").read_text(encoding="utf-8"))
    for layer in (load("compact").sections, worlds.SETTINGS[world], change):
        for section, changed in layer.items():
            params[section] = {**params[section], **changed}
    params["validation"]["near_duplicate"] = 0  # two of the tiles are in train/good and in test/good: docs/quality.md
    return params | {"seed": seed, "categories": {world: None}}


def recorded(params: Mapping[str, Any]) -> Settings:
    """The sections of params.yaml that a record depends on."""
    return {section: params[section] for sections in STAGES.values() for section in sections}


def parts_table(records: Sequence[Record]) -> str:
    """Markdown: for each product image AUROC / pixel AP of each part as shipped, mean and range over the seeds."""
    lines = [f"| product | seeds | {' | '.join(PARTS)} | minutes |", f"|{'---|' * (len(PARTS) + 3)}"]
    for world in worlds.SETTINGS:
        runs = _of(records, world, SHIPPED)
        if runs:
            cells = [_cell(runs, part) for part in PARTS]
            slowest = max(run["minutes"] for run in runs)
            lines.append(f"| {world.replace('_', ' ')} | {len(runs)} | {' | '.join(cells)} | {slowest} |")
    return "\n".join(lines)


def changes_table(records: Sequence[Record]) -> str:
    """Markdown: what each change gives on each product, in the sum's image AUROC / pixel AP."""
    shown = [world for world in worlds.SETTINGS if _of(records, world, SHIPPED)]
    lines = [f"| change | {' | '.join(world.replace('_', ' ') for world in shown)} |", f"|{'---|' * (len(shown) + 1)}"]
    for name in planned():
        cells = [_cell(_of(records, world, name), "sum") for world in shown]
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(records: Sequence[Record], world: str, change: str) -> list[Record]:
    return [record for record in records if (record["world"], record["change"]) == (world, change)]


def _cell(runs: Sequence[Record], part: str) -> str:
    return " / ".join(_mean(runs, part, metric) for metric in ("image_auroc", "pixel_ap")) if runs else ""


def _mean(runs: Sequence[Record], part: str, metric: str) -> str:
    values = [run["parts"][part][metric] for run in runs if part in run["parts"]]
    if not values or values[0] is None:
        return "-"
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{sum(values) / len(values):.3f}{spread}"


def main() -> None:
    """Measures what is not on record, and prints the tables of all."""
    plan = planned()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", type=Path, help="folder that holds the photographed categories, in MVTec's layout")
    parser.add_argument("--worlds", nargs="+", choices=list(worlds.SETTINGS), default=list(worlds.SETTINGS))
    parser.add_argument("--changes", nargs="+", choices=list(plan), default=list(plan))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="products at once, each with its share of the cores")
    parser.add_argument("--note", required=True, help="what else ran on the machine")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    records: list[Record] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    machine, threads = asdict(describe(torch.device("cpu"))), max(1, (os.cpu_count() or 1) // chosen.jobs)
    lock = threading.Lock()

    def work(seed: int, world: str) -> None:
        done = [name for name in plan if _on_record(records, world, seed, name, plan[name])]
        wanted = [name for name in chosen.changes if name not in done]
        # What is as shipped is trained again where only changes are left: they start from it.
        changes = {name: plan[name] for name in dict.fromkeys([SHIPPED, *wanted])} if wanted else {}
        for record in measure(world, seed, changes, chosen.given.resolve(), threads):
            sums = ", ".join(f"{name} {value}" for name, value in record["parts"]["sum"].items())
            log.info("%s, seed %d, %s: %s min, %s", world, seed, record["change"], record["minutes"], sums)
            if record["change"] not in done:
                with lock:
                    _keep(records, {**record, "machine": machine, "note": chosen.note}, list(plan))

    with ThreadPoolExecutor(chosen.jobs) as pool:
        try:
            for future in as_completed([pool.submit(work, *what) for what in product(chosen.seeds, chosen.worlds)]):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print(parts_table(records), changes_table(records), sep="\n\n")


def _on_record(records: Sequence[Record], world: str, seed: int, name: str, change: Settings) -> bool:
    """Whether it was measured with the settings that it has now."""
    wanted = recorded(parameters(world, seed, change))
    return any(one["seed"] == seed and one["settings"] == wanted for one in _of(records, world, name))


def _keep(records: list[Record], record: Record, order: Sequence[str]) -> None:
    """Puts the record among the others, in place of an older one, and writes them, a line each."""
    known = ("world", "seed", "change")
    records[:] = [one for one in records if any(one[name] != record[name] for name in known)] + [record]
    places = list(worlds.SETTINGS)
    records.sort(key=lambda one: (places.index(one["world"]), one["seed"], order.index(one["change"])))
    files.write_text(RESULTS, "[\n" + ",\n".join(json.dumps(one) for one in records) + "\n]\n")


if __name__ == "__main__":
    main()
