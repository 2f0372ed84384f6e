"""How well the defects of real photographs are found: trains and evaluates every run of quality.yaml, records each.

    python -m benchmarks.quality ../shared/data/mvtec/magnetic_tile

The stages are the pipeline's own, called as `dvc repro` calls them, in a scratch folder. An interrupted benchmark goes
on where it was when it is started again; results/quality.json is replaced when all runs are done.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks import painted
from destseg import Error, files
from destseg.bench.machine import describe
from destseg.dataset.layout import TEACHER, build_dir
from destseg.model.blocks import kaiming_init
from destseg.model.teacher import new_teacher
from destseg.model.weights import read_metadata, save_weights
from destseg.presets.preset import load

log = logging.getLogger("benchmarks.quality")
HERE = Path(__file__).parent
RESULTS = HERE / "results" / "quality.json"
UNFINISHED = RESULTS.with_suffix(".unfinished.json")
STAGES = ("validate", "student", "segmentation", "memory", "evaluate")
METRICS = ("image_auroc", "pixel_auroc", "pixel_ap", "iap", "iap90", "pro")
BASE = "paper"
FIRST_TEACHER = "9e5e638"  # the commit that holds the first formula teacher


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training and its evaluation."""

    name: str
    """Of the group in quality.yaml."""
    dataset: str
    teacher: str
    """final (bundled), first (the one bundled at FIRST_TEACHER) or random."""
    seed: int
    settings: dict[str, dict[str, Any]]
    """What differs from params.yaml with the preset BASE."""

    @property
    def key(self) -> str:
        """Equal for equal runs."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def planned(tiles: str) -> Iterator[Run]:
    """The runs of quality.yaml; `tiles` is the name of the dataset that is given."""
    plan = yaml.safe_load((HERE / "quality.yaml").read_text(encoding="utf-8"))
    for group in plan["groups"]:
        settings: dict[str, dict[str, Any]] = {}
        for layer in [*(plan["bases"][base] for base in group["bases"]), group.get("settings", {})]:
            for section, changes in layer.items():
                settings[section] = settings.get(section, {}) | changes
        for dataset, teacher, seed in product(group["datasets"], group["teachers"], group["seeds"]):
            named = tiles if dataset == "tiles" else dataset
            yield Run(name=group["name"], dataset=named, teacher=teacher, seed=seed, settings=settings)


@contextmanager
def workspace(run: Run, source: Path, teachers: Path, threads: int) -> Iterator[Path]:
    """A scratch folder with the run's dataset, params.yaml and teacher, ready for the stages."""
    with tempfile.TemporaryDirectory(prefix="destseg-quality-") as folder:
        root = Path(folder)
        data = root / "data" / "mvtec" / run.dataset
        if run.dataset in painted.PHOTOGRAPHS:
            painted.write(data, run.dataset)
        else:
            shutil.copytree(source, data)
        (root / "params.yaml").write_text(yaml.safe_dump(_params(run, teachers)), encoding="utf-8")
        stage(root, threads, "teacher", "fetch", run.dataset)
        yield root


def measure(run: Run, source: Path, teachers: Path, threads: int) -> dict[str, Any]:
    """The record of one run: what was run, the minutes of the stages together, the metrics."""
    with workspace(run, source, teachers, threads) as root:
        start = time.monotonic()
        for verb in STAGES:
            stage(root, threads, verb, run.dataset)
        minutes = (time.monotonic() - start) / 60
        build = build_dir(run.dataset, root)
        metrics = json.loads((build / "metrics.json").read_text(encoding="utf-8"))
        teacher = read_metadata(build / TEACHER)["sha256"]
    record = asdict(run) | {"teacher_sha256": teacher, "minutes": round(minutes, 1), "threads": threads}
    return record | {name: round(metrics[name], 4) for name in METRICS}


def _params(run: Run, teachers: Path) -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((HERE.parent / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in (*load(BASE).sections.items(), *run.settings.items()):
        params[section] = {**params[section], **changes}
    if run.teacher != "final":
        path = teachers / f"{run.teacher}.safetensors"
        params["teacher"] = {"source": "file", "path": str(path), "sha256": files.sha256(path)}
    else:
        params["teacher"] = {"source": "formula"}
    params["validation"]["near_duplicate"] = 0  # two of the tiles are in train/good and in test/good: docs/quality.md
    return params | {"seed": run.seed, "categories": {run.dataset: None}}


def stage(root: Path, threads: int, *verb: str, program: str = "destseg") -> str:
    """What the verb printed; an Error with the end of what it said if it failed."""
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": str(HERE.parent.resolve()),
        "DESTSEG_CACHE": str(root / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", program, *verb], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Error(f"{program} {' '.join(verb)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _write_teachers(folder: Path, names: set[str]) -> None:
    """The teachers that are compared with the bundled one."""
    if "first" in names:
        blob = f"{FIRST_TEACHER}:destseg/model/formula.safetensors"
        shown = subprocess.run(["git", "show", blob], cwd=HERE, capture_output=True, check=False)
        if shown.returncode:
            raise Error(f"git has no {blob}: {shown.stderr.decode().strip()}; expected a clone with its whole history")
        (folder / "first.safetensors").write_bytes(shown.stdout)
    if "random" in names:
        teacher = new_teacher()
        torch.manual_seed(0)
        kaiming_init(teacher)
        save_weights(folder / "random.safetensors", teacher)


def main() -> None:
    """Runs what is planned and not yet in the file of the interrupted benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of the magnetic tiles in MVTec's layout")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each with its share of the cores")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if not (arguments.dataset / "train" / "good").is_dir():
        raise SystemExit(f"{arguments.dataset} has no train/good; expected the folder of a category in MVTec's layout")
    plan = list(planned(arguments.dataset.resolve().name))
    try:
        _measure_all(plan, arguments.dataset, arguments.jobs)
    except Error as error:
        raise SystemExit(str(error)) from None


def _measure_all(plan: list[Run], source: Path, jobs: int) -> None:
    found = json.loads(UNFINISHED.read_text(encoding="utf-8")) if UNFINISHED.is_file() else []
    done = {record["key"]: record for record in found}
    wanted = [run for run in plan if run.key not in done]
    threads, machine = max(1, (os.cpu_count() or 1) // jobs), asdict(describe(torch.device("cpu")))
    lock = threading.Lock()

    with tempfile.TemporaryDirectory(prefix="destseg-teachers-") as folder, ThreadPoolExecutor(jobs) as pool:
        _write_teachers(Path(folder), {run.teacher for run in wanted})

        def work(run: Run) -> None:
            log.info("%s: %s, teacher %s, seed %d", run.name, run.dataset, run.teacher, run.seed)
            record = measure(run, source, Path(folder), threads) | {"machine": machine, "key": run.key}
            with lock:
                done[run.key] = record
                _write(UNFINISHED, [done[run.key] for run in plan if run.key in done])
            shown = ", ".join(f"{name} {record[name]:.3f}" for name in METRICS)
            log.info("%s, seed %d: %.1f min, %s", run.name, run.seed, record["minutes"], shown)

        try:
            for future in as_completed([pool.submit(work, run) for run in wanted]):
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _write(RESULTS, [done[run.key] for run in plan])
    UNFINISHED.unlink(missing_ok=True)


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    files.write_text(path, json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
