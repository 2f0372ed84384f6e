"""What the memory alone finds with patches drawn at random, and with those that differ most (a coreset): no training.

    python -m benchmarks.patches FOLDER --note "what else ran" [--worlds screw magnetic_tile]

FOLDER holds the photographed categories. Writes results/patches.json and prints its table.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import worlds
from benchmarks.changes import parameters
from benchmarks.parts import EVALUATED, metrics
from destseg import files
from destseg.bench.machine import describe
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import dataset_dir, samples
from destseg.model.backbone import Backbone
from destseg.model.device import placed
from destseg.model.fold import folded
from destseg.model.memory import deviation, distance, features
from destseg.model.network import image_scores
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.teacher import load_teacher
from destseg.training.memory import IMAGES, PLACES, coreset
from destseg.training.synthesis import seeded

RESULTS = Path(__file__).parent / "results" / "patches.json"
COUNTS = {"random": (1000, 4000, 16000), "coreset": (500, 1000, 2000, 4000)}
Record = dict[str, Any]


def measure(world: str, given: Path, root: Path) -> list[Record]:
    """A record for each way and number of patches, of up to IMAGES images of train/good."""
    data = dataset_dir(world, root)
    worlds.write(world, data, given)
    fetch(TeacherSettings(source="efficientnet-lite0"), root / "teacher.safetensors")
    teacher = load_teacher(root / "teacher.safetensors")[0]
    settings = ImageSettings(size=parameters(world, 0, {})["image"]["size"])
    generator = seeded(0, f"{world}/patches")
    train = [sample.path for sample in samples(data, "train")]
    chosen = [train[index] for index in torch.randperm(len(train), generator=generator)[:IMAGES].tolist()]
    tested = [sample.path for sample in samples(data, "test")]
    seen = _features(teacher, chosen, settings).flatten(1, 2)
    drawn = [places[torch.randperm(len(places), generator=generator)[:PLACES]] for places in seen]
    places = torch.cat(drawn)
    mean, std = places.mean(dim=0), deviation(places)
    places, images = (places - mean) / std, (_features(teacher, tested, settings) - mean) / std
    ways: dict[str, Callable[[int], Tensor]] = {
        "random": lambda count: torch.randperm(len(places), generator=generator)[:count],
        "coreset": lambda count: coreset(places, count, generator),
    }
    found = []
    for way, counts in COUNTS.items():
        for count in counts:
            patches = places[ways[way](count)]
            side = min(settings.size, EVALUATED)
            near = torch.stack([distance(image, patches) for image in images])[:, None]
            maps = F.interpolate(near, (side, side), mode="bilinear", align_corners=False)[:, 0]
            values = metrics(world, data, maps.numpy(), image_scores(maps).double().numpy(), tested)
            found.append({"world": world, "way": way, "patches": count, **values})
    return found


def _features(teacher: Backbone, paths: Sequence[Path], settings: ImageSettings) -> Tensor:
    """[N, H/8, W/8, C] of the images."""
    frozen = placed(folded(teacher), torch.device("cpu"))
    loaded = (teacher.normalise(load_all([path], settings)) for path in paths)
    return torch.cat([features(frozen(image)).permute(0, 2, 3, 1) for image in loaded])


def table(records: Sequence[Record]) -> str:
    """Markdown: image AUROC / pixel AP, a row for each product."""
    ways = [(way, count) for way, counts in COUNTS.items() for count in counts]
    lines = [f"| product | {' | '.join(f'{way}, {count:,}' for way, count in ways)} |", f"|{'---|' * (len(ways) + 1)}"]
    for world in worlds.SETTINGS:
        mine = {(one["way"], one["patches"]): one for one in records if one["world"] == world}
        if mine:
            cells = [_cell(mine[way]) for way in ways]
            lines.append(f"| {world.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(record: Record) -> str:
    return " / ".join("-" if record[name] is None else f"{record[name]:.3f}" for name in ("image_auroc", "pixel_ap"))


@torch.inference_mode()
def main() -> None:
    """Measures the products, in place of what was recorded of them, and prints the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("given", type=Path, help="folder that holds the photographed categories, in MVTec's layout")
    parser.add_argument("--worlds", nargs="+", choices=list(worlds.SETTINGS), default=list(worlds.SETTINGS))
    parser.add_argument("--note", required=True, help="what else ran on the machine")
    chosen = parser.parse_args()
    records: list[Record] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    said = {"machine": asdict(describe(torch.device("cpu"))), "note": chosen.note}
    for world in chosen.worlds:
        with tempfile.TemporaryDirectory(prefix="destseg-patches-") as folder:
            found = [{**record, **said} for record in measure(world, chosen.given.resolve(), Path(folder))]
        records = [one for one in records if one["world"] != world] + found
        files.write_text(RESULTS, "[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
    print(table(records))


if __name__ == "__main__":
    main()
