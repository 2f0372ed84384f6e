"""Decoded images where training finds them fast: on its device, or, where they do not fit, in a memory-mapped file."""

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from destseg import Error
from destseg.dataset.images import ImageSettings, Source, load_all

HELD_SHARE = 0.25  # of the device's free memory, for one set of images: two are held, and the networks need room
CGROUP = Path("/sys/fs/cgroup")  # version 2
CHUNK = 256  # images decoded at once on their way into a file
log = logging.getLogger(__name__)


def stored(sources: Sequence[Source], settings: ImageSettings, device: torch.device, folder: Path) -> Tensor:
    """uint8 [N, 3, size, size] on the device, or mapped from a file without a name on `folder`'s disk."""
    shape = (len(sources), 3, settings.size, settings.size)
    needed, free = torch.Size(shape).numel(), min(free_bytes(device), free_bytes(torch.device("cpu")))
    if needed <= HELD_SHARE * free:
        return load_all(sources, settings).to(device)
    log.info("%d images need %.1f GB of %.1f GB free: kept in a file", len(sources), needed / 1e9, free / 1e9)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".images-") as file:  # the mapping outlives the name
        try:
            os.posix_fallocate(file.fileno(), 0, needed)  # a full disk is an error here, and no crash later
        except OSError as error:
            raise Error(f"{folder}: no room for {needed / 1e9:.1f} GB of decoded images ({error.strerror})") from None
        images = torch.from_file(file.name, shared=True, size=needed, dtype=torch.uint8).view(shape)
    for start in range(0, len(sources), CHUNK):
        images[start : start + CHUNK] = load_all(sources[start : start + CHUNK], settings)
    return images


def mapped(images: Tensor) -> bool:
    """Whether the images lie in a file, so that reading ahead pays."""
    return images.untyped_storage().filename is not None


def free_bytes(device: torch.device) -> int:
    """Memory that can be had without taking it from others, within the limit of a container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # not Linux: half of what there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        limit, used = (int((CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no limit: the file is not there, or says `max`
        return free
    return max(0, min(free, limit - used))
