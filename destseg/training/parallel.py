"""One training on several devices: torch's DistributedDataParallel, one process each, started by `torchrun`.

Every process draws the same batches and renders its share, so that the result does not depend on their number. That
needs BatchNorm over the whole batch, torch's SyncBatchNorm, which runs on GPUs only: elsewhere it is over each share.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from destseg import Error

T = TypeVar("T")


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Joins the processes that torchrun started, if it did; the device of this one: its own GPU, or the processor."""
    if not distributed.is_torchelastic_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def share(batch: int | None = None) -> tuple[int, int]:
    """(index of this process, number of processes); an Error if `batch` cannot be shared out evenly."""
    if not distributed.is_initialized():
        return 0, 1
    index, count = distributed.get_rank(), distributed.get_world_size()
    if batch is not None and batch % count:
        raise Error(f"batch is {batch}, expected a multiple of the {count} processes that torchrun started")
    return index, count


def first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return share()[0] == 0


def agreed(value: T) -> T:
    """The first process's value, in every process."""
    if share()[1] == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def distributed_module(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with the mean of all processes' gradients; as it is where there is one process."""
    if share()[1] == 1:
        return module
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return DistributedDataParallel(module)
