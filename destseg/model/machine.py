"""What this machine is called: it stands beside whatever was measured on it."""

import os
import platform
from pathlib import Path

import torch


def name(device: torch.device) -> str:
    """The GPU's name, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:  # platform.processor() is empty on Linux
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def sentence(device: torch.device) -> str:
    """Device, processor, cores and torch's version in one line."""
    return f"{name(device)}, {processor()}, {os.cpu_count() or 1} cores, torch {torch.__version__}"
