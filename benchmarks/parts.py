"""What each part of the map finds alone, and what their sum finds: trains compact on each product, records, prints.

    python -m benchmarks.parts FOLDER --note "what else ran" [--worlds screw washer] [--seeds 0 1 2]

The stages are the pipeline's own, called as `dvc repro` calls them, in a scratch folder, with the preset's settings and
those of worlds.py. The memory alone is what a user could have without any training: the nearest neighbour among patches
of normal images (after PatchCore), by the same backbone. A run that is on record is not repeated.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks import worlds
from benchmarks.quality import METRICS, stage
from destseg import files
from destseg.bench.machine import describe
from destseg.dataset.images import ImageSettings, load_all, load_mask
from destseg.dataset.layout import dataset_dir, samples
from destseg.evaluation.metrics import evaluate_maps
from destseg.inference.assemble import assemble
from destseg.model.network import DeSTSeg, dest, image_scores
from destseg.model.similarity import similarities
from destseg.presets.preset import load

log = logging.getLogger("benchmarks.parts")
HERE = Path(__file__).parent
RESULTS = HERE / "results" / "parts.json"
STAGES = ("validate", "teacher fetch", "student", "segmentation", "memory")
PARTS = ("segmentation net", "DeST", "memory", "sum")
Maps = NDArray[np.float32]
Record = dict[str, Any]


def measure(world: str, seed: int, given: Path) -> Record:
    """The record of one training: settings, minutes, and the metrics of each part over the whole test set."""
    with tempfile.TemporaryDirectory(prefix="destseg-parts-") as folder, chdir(folder):
        worlds.write(world, dataset_dir(world), given)
        settings = _settings(world, seed)
        Path("params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        start = time.monotonic()
        for verb in STAGES:
            stage(Path(), torch.get_num_threads(), *verb.split(), world)
        minutes = (time.monotonic() - start) / 60
        maps, masks, defective = _maps(world, settings["image"]["size"])
    found = {part: _metrics(maps[part], masks, defective, outlined=world not in worlds.SOLAR) for part in PARTS}
    kept = {name: settings[name] for name in ("image", *load("compact").sections)}
    return {"world": world, "seed": seed, "minutes": round(minutes, 1), "parts": found, "settings": kept}


def _settings(world: str, seed: int) -> dict[str, Any]:
    """params.yaml as shipped, of the compact preset, with what is known of the product."""
    params: dict[str, Any] = yaml.safe_load((HERE.parent / "params.yaml").read_text(encoding="utf-8"))
    for section, changes in (*load("compact").sections.items(), *worlds.SETTINGS[world].items()):
        params[section] = {**params[section], **changes}
    params["validation"]["near_duplicate"] = 0  # two of the tiles are in train/good and in test/good: docs/quality.md
    return params | {"seed": seed, "categories": {world: None}}


@torch.inference_mode()
def _maps(world: str, size: int) -> tuple[dict[str, Maps], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the test images, from one pass: the map of each part, masks, and which are defective."""
    network, _ = assemble(world)
    network.eval()
    tested = samples(dataset_dir(world), "test")
    masks = np.zeros((len(tested), size, size), dtype=np.bool_)
    for index, sample in enumerate(tested):
        if sample.mask is not None:
            masks[index] = load_mask(sample.mask, size)
    found: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    for images in load_all([one.path for one in tested], ImageSettings(size=size)).split(8):
        for part, small in by_part(network, images).items():
            found[part].append(F.interpolate(small, (size, size), mode="bilinear", align_corners=False)[:, 0])
    maps = {part: torch.cat(batches).numpy() for part, batches in found.items()}
    return maps, masks, np.array([one.mask is not None for one in tested])


def by_part(network: DeSTSeg, images: Tensor) -> dict[str, Tensor]:
    """What `DeSTSeg.forward` adds up, [B, 1, H/4, W/4] each."""
    x = network.teacher.normalise(images)
    teacher, student = network.teacher(x), network.student(x)
    assert network.segmentation is not None
    assert network.memory is not None
    net = torch.sigmoid(network.segmentation(similarities(teacher, student, network.segmentation.inputs)))
    memory, apart = network.memory.standardised(teacher, student)
    patch, of_dest = network.memory.weights
    whole = net + patch * memory + of_dest * apart
    return {"segmentation net": net, "DeST": dest(teacher, student), "memory": memory, "sum": whole}


def _metrics(
    maps: Maps, masks: NDArray[np.bool_], defective: NDArray[np.bool_], *, outlined: bool
) -> dict[str, float | None]:
    scores = image_scores(torch.from_numpy(maps)).double().numpy()
    found = evaluate_maps(scores, maps, masks, defective).to_dict()
    return {name: found[name] if outlined or name == "image_auroc" else None for name in METRICS}


def table(records: Sequence[Record]) -> str:
    """Markdown: for each product image AUROC and pixel AP of each part; mean and range where there are more seeds."""
    lines = [f"| product | seeds | {' | '.join(PARTS)} | minutes |", f"|{'---|' * (len(PARTS) + 3)}"]
    for world in dict.fromkeys(record["world"] for record in records):
        runs = [record for record in records if record["world"] == world]
        cells = [f"{_mean(runs, part, 'image_auroc')} / {_mean(runs, part, 'pixel_ap')}" for part in PARTS]
        slowest = max(run["minutes"] for run in runs)
        lines.append(f"| {world.replace('_', ' ')} | {len(runs)} | {' | '.join(cells)} | {slowest} |")
    return "\n".join(lines)


def _mean(runs: Sequence[Record], part: str, metric: str) -> str:
    values = [run["parts"][part][metric] for run in runs]
    if values[0] is None:
        return "no masks"
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{sum(values) / len(values):.3f}{spread}"


def main() -> None:
    """Measures what is not on record, and prints the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", type=Path, help="folder that holds the photographed categories, in MVTec's layout")
    parser.add_argument("--worlds", nargs="+", choices=list(worlds.SETTINGS), default=list(worlds.SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--note", required=True, help="what else ran on the machine")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    records: list[Record] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    machine, given = asdict(describe(torch.device("cpu"))), chosen.given.resolve()
    for seed in chosen.seeds:
        for world in chosen.worlds:
            if any((record["world"], record["seed"]) == (world, seed) for record in records):
                continue
            log.info("%s, seed %d", world, seed)
            records.append(measure(world, seed, given) | {"machine": machine, "note": chosen.note})
            records.sort(key=lambda record: (list(worlds.SETTINGS).index(record["world"]), record["seed"]))
            files.write_text(RESULTS, json.dumps(records, indent=1) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
