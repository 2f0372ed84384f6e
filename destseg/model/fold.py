"""Networks that no longer learn: convolution and BatchNorm as one convolution."""

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from destseg.model.efficientnet_lite0 import SameConv

M = TypeVar("M", bound=nn.Module)


def folded(module: M) -> M:
    """A frozen copy in eval mode whose every BatchNorm has become part of the convolution that stands before it.

    The same maps up to rounding (1e-5 or so in float32), without reading and writing them once more for the BatchNorm.
    """
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    for part in list(frozen.modules()):
        for (name, conv), (next_name, norm) in pairwise(list(part.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(conv, norm).requires_grad_(False))
                setattr(part, next_name, nn.Identity())
    for part in list(frozen.modules()):
        for name, conv in list(part.named_children()):
            if isinstance(conv, SameConv):
                setattr(part, name, conv.frozen())
    return frozen.eval().requires_grad_(False)
