"""Where the part is on photographs of good parts: what differs from the background that the pictures' edges show."""

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes
from torch import Tensor
from torch.nn import functional as F

SCALE = 4  # a part is found on pictures of a quarter of the size: noise is gone there, and a mask is small
_RING = 32  # the edge that is taken for background is 1/32 of the picture's side wide
_NEAR = 0.9  # of the edges' pixels lie within the spread of the background
_TIMES, _LEAST = 3.0, 6.0  # spreads, and grey values, from which on a pixel is not background
# A background is told apart only where the part's share of the median picture lies between these, and is this many
# times as large as its share of the edges.
_SHARE, _LIKELIER = (0.02, 0.85), 4.0
_BATCH = 64


def parts(images: Tensor) -> Tensor | None:
    """Whether each place of normal images uint8 [N, 3, S, S] shows the part: bool [N, 1, S/4, S/4].

    None where no background can be told from it, as on textures. A part that fills the picture is taken for background.
    """
    ring = _ring(images.shape[-1] // SCALE, images.device)
    away = torch.cat([_from_background(some, ring) for some in images.split(_BATCH)])
    edges = away[:, :, ring]
    limit = max(_TIMES * float(torch.quantile(_some(edges).float(), _NEAR)), _LEAST)
    found = away > limit
    share = float(found.float().mean(dim=(1, 2, 3)).median())
    at_edges = float((edges > limit).float().mean())
    if not _SHARE[0] <= share <= _SHARE[1] or share < _LIKELIER * at_edges:
        return None
    # Its holes belong to it, where something may be that should not, and what is next to it: a burr stands out.
    filled = torch.from_numpy(np.stack([binary_fill_holes(one) for one in found[:, 0].cpu().numpy()]))[:, None]
    return F.max_pool2d(filled.to(found.device).float(), 3, 1, 1) > 0


def _from_background(images: Tensor, ring: Tensor) -> Tensor:
    """How far each place is from the median colour of its picture's edges: uint8 [B, 1, S/4, S/4], in grey values."""
    small = F.avg_pool2d(images.float(), SCALE)
    background = small[:, :, ring].median(dim=2).values[:, :, None, None]
    return (small - background).abs().amax(dim=1, keepdim=True).round().to(torch.uint8)


def _ring(side: int, device: torch.device) -> Tensor:
    width = max(1, side // _RING)
    ring = torch.ones(side, side, dtype=torch.bool, device=device)
    ring[width:-width, width:-width] = False
    return ring


def _some(values: Tensor, most: int = 1_000_000) -> Tensor:
    """Evenly picked ones: torch's quantile takes 16 million at most."""
    flat = values.flatten()
    return flat[:: 1 + len(flat) // most]
