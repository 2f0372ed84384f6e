"""Where the networks run, and in which precision."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import torch

from destseg import Error

M = TypeVar("M", bound=torch.nn.Module)
Precision = Literal["auto", "float32", "bfloat16"]


def device(wanted: str | None = None) -> torch.device:
    """`wanted` or DESTSEG_DEVICE (cpu, cuda, cuda:1), else the first GPU, else the processor; an Error if not there."""
    wanted = wanted or os.environ.get("DESTSEG_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(wanted)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise Error(f"device {wanted!r} (DESTSEG_DEVICE) cannot be used: {reason}") from None
    return found


@contextmanager
def enough_memory(device: torch.device, doing: str, remedy: str) -> Iterator[None]:
    """Turns the device's running out of memory into an Error that says during what, and what to do."""
    try:
        yield
    except torch.OutOfMemoryError:
        if device.type == "cuda":
            has, name = torch.cuda.get_device_properties(device).total_memory, torch.cuda.get_device_name(device)
        else:
            has, name = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the processor"
        raise Error(f"{doing}: {device} ({name}, {has / 1e9:.1f} GB) has not enough memory; {remedy}") from None


def tune(device: torch.device, *, deterministic: bool = False) -> None:
    """How a GPU chooses its kernels: by trying them out, or so that it repeats bit for bit, as processors do anyway."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not deterministic
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it before its first call
            torch.use_deterministic_algorithms(True)


def placed(module: M, device: torch.device, dtype: torch.dtype | None = None) -> M:
    """The module on the device, channels last, which the fast convolutions want; in `dtype` if one is given."""
    moved: M = module.to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
    return moved


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on the device; sent from pinned memory, so that a GPU need not be waited for."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


# Values of ONEDNN_MAX_CPU_ISA that rule bfloat16 out.
_WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware, and oneDNN is not told to do without; else it is emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""  # its older name
    if told.upper() in _WITHOUT_BFLOAT16:
        return False
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch from 2.11 on
    if not capabilities and Path("/proc/cpuinfo").exists():
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@cache
def is_faster_in_bfloat16() -> bool:
    """Whether this processor convolves faster in bfloat16 than in float32; tried once, for a fifth of a second.

    To have the instructions is not enough (docs/performance.md): one processor is 2.5 times as fast, one half as fast.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(5):
        for dtype in best:
            maps, kernel = (
                torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
                for shape in ((2, 256, 32, 32), (256, 256, 3, 3))
            )
            start = time.perf_counter()
            torch.nn.functional.conv2d(maps, kernel)
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.bfloat16] < 0.8 * best[torch.float32]


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Of the convolutions; `auto` is bfloat16 where the hardware is faster with it."""
    if precision == "auto":
        gains = has_bfloat16(device) and (device.type == "cuda" or is_faster_in_bfloat16())
        return torch.bfloat16 if gains else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context that runs the convolutions of a network with float32 weights in `precision`."""
    wanted = dtype_of(precision, device) == torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)
