"""The paper's "DeST" beside the model's own scores: what teacher and student say without the segmentation net."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from destseg.inference.scorer import Collected
from destseg.model.network import DeSTSeg, dest, image_scores


@contextmanager
def recording(network: DeSTSeg) -> Iterator[Collected]:
    """What gains the DeST scores [B] and maps [B, S, S] of every batch that the network scores meanwhile.

    They come from the features of that one pass: neither teacher nor student runs twice.
    """
    found = Collected()
    levels: dict[str, tuple[Tensor, ...]] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: tuple[Tensor, ...]) -> None:
            levels[name] = output

        return hook

    def finish(_network: Any, inputs: tuple[Tensor], _output: Any) -> None:
        small = dest(levels.pop("teacher"), levels.pop("student"))
        maps = F.interpolate(small, inputs[0].shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        found.add(image_scores(maps), maps)

    hooks = [getattr(network, name).register_forward_hook(keep(name)) for name in ("teacher", "student")]
    hooks.append(network.register_forward_hook(finish))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
