"""What each part of a trained model's map finds alone, and what their sum finds, over the whole test set.

    python -m benchmarks.parts CATEGORY    in a folder in which the category was trained: prints JSON

Maps are compared at 256x256, as in the paper, or at the model's size where that is smaller.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks import worlds
from benchmarks.quality import METRICS
from destseg.dataset.images import ImageSettings, load_all, load_mask
from destseg.dataset.layout import dataset_dir, samples
from destseg.evaluation.metrics import evaluate_maps
from destseg.inference.assemble import assemble
from destseg.model.network import DeSTSeg, dest, image_scores
from destseg.model.similarity import similarities
from destseg.settings import read_section

EVALUATED = 256
BATCH = 8
Metrics = dict[str, float | None]


def by_part(network: DeSTSeg, images: Tensor) -> dict[str, Tensor]:
    """What `DeSTSeg.forward` adds up, and the sum, [B, 1, H/4, W/4] each."""
    assert network.segmentation is not None
    x = network.teacher.normalise(images)
    teacher, student = network.teacher(x), network.student(x)
    net = torch.sigmoid(network.segmentation(similarities(teacher, student, network.segmentation.inputs)))
    parts = {"segmentation net": net, "DeST": dest(teacher, student)}
    if network.memory is None:
        return {**parts, "sum": net}
    memory, _ = network.memory.standardised(teacher, student)
    return {**parts, "memory": memory, "sum": net + network.memory(teacher, student)}


@torch.inference_mode()
def measure(category: str) -> dict[str, Metrics]:
    """The metrics of each part, over the test set of the category in the working directory."""
    size = read_section("image", ImageSettings, category=category).size
    network, _ = assemble(category)
    network.eval()
    paths = [sample.path for sample in samples(dataset_dir(category), "test")]
    side = min(size, EVALUATED)
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(paths), BATCH):
        images = load_all(paths[start : start + BATCH], ImageSettings(size=size))
        for part, small in by_part(network, images).items():
            maps = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)[:, 0]
            found.setdefault(part, []).append(maps)
    whole = {part: torch.cat(maps) for part, maps in found.items()}
    return {
        part: metrics(category, dataset_dir(category), maps.numpy(), image_scores(maps).double().numpy(), paths)
        for part, maps in whole.items()
    }


def metrics(
    world: str, data: Path, maps: NDArray[np.float32], scores: NDArray[np.float64], paths: Sequence[Path]
) -> Metrics:
    """Of the maps [N, S, S] and scores [N] of the test images of `data`; of the images alone without masks."""
    tested = {sample.path: sample for sample in samples(data, "test")}
    masks = np.zeros(maps.shape, dtype=np.bool_)
    for index, path in enumerate(paths):
        if (mask := tested[path].mask) is not None:
            masks[index] = load_mask(mask, maps.shape[-1])
    defective = np.array([tested[path].mask is not None for path in paths])
    found = evaluate_maps(scores, maps, masks, defective)
    outlined = world not in worlds.SOLAR
    return {name: round(getattr(found, name), 4) if outlined or name == "image_auroc" else None for name in METRICS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("category")
    print(json.dumps(measure(parser.parse_args().category)))
