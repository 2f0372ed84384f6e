"""In what arithmetic a loss is computed, and torch.compile where the environment asks for it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch._dynamo.exc import TorchDynamoException

from destseg.model.device import Precision, autocast, dtype_of
from destseg.settings import read_environment
from destseg.training.gradients import FastGradients

F = TypeVar("F", bound=Callable[..., Any])
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CompileSettings:
    """Read from DESTSEG_COMPILE."""

    compile: Literal["off", "on", "graphs"] = "off"
    """on: torch.compile of each stage's loss; graphs: with CUDA graphs too. It takes a minute or so before the first
    step, and needs a compiler (docs/performance.md says where it pays)."""


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """The context of a forward pass that learns, in bfloat16 or float32; on a processor with fast gradients."""
    with ExitStack() as stack:
        if device.type == "cpu" and read_environment(CompileSettings).compile == "off":
            single = dtype_of(precision, device) == torch.float32
            # With AVX-512 oneDNN's own weight gradients are faster than matrix products.
            stack.enter_context(FastGradients(products=single and torch.backends.cpu.get_cpu_capability() != "AVX512"))
        stack.enter_context(autocast(device, precision))
        yield


def compiled(function: F) -> F:
    """`function` as DESTSEG_COMPILE wants it; where compiling fails, a warning, and `function` as it is."""
    wanted = read_environment(CompileSettings).compile
    if wanted == "off":
        return function
    fast: Any = torch.compile(function, mode="reduce-overhead" if wanted == "graphs" else None)

    def run(*inputs: Any) -> Any:
        nonlocal fast
        if fast is not function:
            try:
                if wanted == "graphs":
                    torch.compiler.cudagraph_mark_step_begin()
                return fast(*inputs)
            except TorchDynamoException as error:
                reason = str(error).strip().partition("\n")[0]
                log.warning("torch.compile failed (%s): training without it", reason)
                fast = function
        return function(*inputs)

    return run  # type: ignore[return-value]  # the same arguments, the same result
