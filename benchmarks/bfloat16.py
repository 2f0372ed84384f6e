"""destseg with bfloat16 convolutions on any processor: `python -m benchmarks.bfloat16 student bolt`.

Where the processor has none, operands and results are rounded to bfloat16 and the products summed in float32, as the
hardware does; only the order of the sums differs. `python -m benchmarks.bfloat16 scores bolt` prints how far a trained
network's scores move by it.
"""

import json
import sys
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from destseg.__main__ import main as destseg
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import GOOD, dataset_dir, samples
from destseg.evaluation.ranking import rank
from destseg.inference.assemble import assemble
from destseg.inference.scorer import TorchScorer
from destseg.model.device import has_bfloat16
from destseg.settings import read_section
from destseg.training.gradients import FastGradients

CPU = torch.device("cpu")


class Bfloat16(TorchFunctionMode):
    """Inside this context, convolutions that would be bfloat16 are computed in float32 on rounded values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d and (args[0].dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")):
            rounded: list[Any] = [value.bfloat16().float() if isinstance(value, Tensor) else value for value in args]
            with torch.autocast("cpu", enabled=False), FastGradients(products=True):
                return func(*rounded, **(kwargs or {})).bfloat16()
        return func(*args, **(kwargs or {}))


def scores(category: str) -> dict[str, float]:
    """Of the test set: how far scores and maps in bfloat16 are from those in float32, and both image AUROCs."""
    image = read_section("image", ImageSettings, category=category)
    found = samples(dataset_dir(category), "test")
    images = load_all([sample.path for sample in found], image)
    network, _ = assemble(category)
    exact, near = (
        TorchScorer(network, CPU, precision=precision).score(images) for precision in ("float32", "bfloat16")
    )
    defective = np.array([sample.kind != GOOD for sample in found])
    return {
        "score_error_max": float(np.abs(near[0] - exact[0]).max()),
        "score_error_mean": float(np.abs(near[0] - exact[0]).mean()),
        "score_deviation": float(exact[0].std()),
        "map_error_max": float(np.abs(near[1] - exact[1]).max()),
        "image_auroc_float32": rank(exact[0][defective], exact[0][~defective]).auroc(),
        "image_auroc_bfloat16": rank(near[0][defective], near[0][~defective]).auroc(),
    }


if __name__ == "__main__":
    with nullcontext() if has_bfloat16(CPU) else Bfloat16():
        if sys.argv[1] == "scores":
            print(json.dumps(scores(sys.argv[2])))
        else:
            destseg()
