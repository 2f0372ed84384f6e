"""torch.compile is asked for by the environment, gives the same values, and where it fails training goes on without."""

import pytest
import torch
from torch import Tensor

from destseg.model.teacher import new_teacher
from destseg.training import student
from destseg.training.accelerate import arithmetic, compiled
from destseg.training.gradients import LEAST_CHANNELS
from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

CPU = torch.device("cpu")


def doubled(x: Tensor) -> Tensor:
    return torch.relu(x) * 2 + 1


def test_nothing_is_compiled_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESTSEG_COMPILE", raising=False)
    assert compiled(doubled) is doubled


@pytest.mark.parametrize(("capability", "products"), [("AVX2", True), ("DEFAULT", True), ("AVX512", False)])
def test_weight_gradients_are_matrix_products_where_those_are_faster(
    capability: str, products: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESTSEG_COMPILE", raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    conv = torch.nn.Conv2d(LEAST_CHANNELS, 8, 3, bias=False)
    for precision, expected in (("float32", products), ("bfloat16", False)):
        with arithmetic(CPU, precision):
            y = conv(torch.randn(1, LEAST_CHANNELS, 5, 5))
        assert (y.grad_fn.name() == "_ConvolutionBackward") is expected
        assert y.dtype == getattr(torch, precision)


@pytest.mark.parametrize("mode", ["on", "graphs"])
def test_what_is_compiled_gives_the_same(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setenv("DESTSEG_COMPILE", mode)
    fast, x = compiled(doubled), torch.randn(64, 64)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert torch.allclose(fast(x), doubled(x))
        assert torch.allclose(fast(-x), doubled(-x))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1


def test_a_machine_without_a_compiler_trains_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    torch.compiler.reset()
    monkeypatch.setenv("DESTSEG_COMPILE", "on")
    generator = seeded(0, "pictures")
    images = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    settings = student.StudentSettings(steps=2, batch=2, lr=0.01, encoder_decoder=False, precision="float32")

    def trained() -> list[tuple[int, list[float]]]:
        torch.manual_seed(0)
        source = Synthesis(images, images.flip(0), SynthesisSettings(), seeded(0, "training"))
        return student.train(new_teacher(), source, settings, seed=0)[1]

    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}):
        found = trained()
    assert "torch.compile failed" in caplog.text
    assert caplog.text.count("training without it") == 1
    monkeypatch.setenv("DESTSEG_COMPILE", "off")
    assert [row for _, (row,) in found] == pytest.approx([row for _, (row,) in trained()], rel=1e-3)
