"""The paper's "DeST" beside the model's own scores: what teacher and student say without the segmentation net."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from destseg.inference.scorer import Scores
from destseg.model.network import DeSTSeg, dest, image_scores


@contextmanager
def recording(network: DeSTSeg) -> Iterator[list[Scores]]:
    """A list that gains the DeST scores [B] and maps [B, S, S] of every batch that the network scores meanwhile.

    They come from the features of that one pass: neither teacher nor student runs twice.
    """
    found: list[Scores] = []
    levels: dict[str, tuple[Tensor, ...]] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: tuple[Tensor, ...]) -> None:
            levels[name] = output

        return hook

    def finish(_network: Any, inputs: tuple[Tensor], _output: Any) -> None:
        small = dest(levels.pop("teacher"), levels.pop("student"))
        maps = F.interpolate(small, inputs[0].shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        found.append((image_scores(maps).double().cpu().numpy(), maps.cpu().numpy()))

    hooks = [getattr(network, name).register_forward_hook(keep(name)) for name in ("teacher", "student")]
    hooks.append(network.register_forward_hook(finish))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def joined(batches: list[Scores], size: int) -> Scores:
    """All batches as one: scores [N], maps [N, size, size]; N is 0 where the network scored nothing."""
    nothing = np.empty(0), np.empty((0, size, size), np.float32)
    scores, maps = zip(nothing, *batches, strict=True)
    return np.concatenate(scores), np.concatenate(maps)
