"""In which precision a device computes, when the settings leave it to the machine."""

import pytest
import torch

from destseg.model import device
from destseg.model.device import dtype_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has", "faster", "dtype"),
    [
        (False, True, torch.float32),  # emulation is never asked for, however fast it seemed
        (True, False, torch.float32),  # a processor with the instructions, but slower with them
        (True, True, torch.bfloat16),
    ],
)
def test_auto_is_bfloat16_only_where_the_processor_has_it_and_is_faster(
    monkeypatch: pytest.MonkeyPatch, has: bool, faster: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda _: has)
    monkeypatch.setattr(device, "is_faster_in_bfloat16", lambda: faster)
    assert dtype_of("auto", CPU) == dtype
    assert dtype_of("float32", CPU) == torch.float32
    assert dtype_of("bfloat16", CPU) == torch.bfloat16


def test_trying_it_out_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    device.is_faster_in_bfloat16.__wrapped__()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_processor_that_onednn_may_not_use_in_full_has_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert device.has_bfloat16(CPU)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert not device.has_bfloat16(CPU)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")
    assert device.has_bfloat16(CPU)
