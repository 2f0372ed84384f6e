"""Run by test_architecture.py as a process of its own: a Python that has only the libraries of a bare GPU machine.

Arguments: a JSON list of the top-level names that this machine has and a bare one has not, then the modules to import.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from types import ModuleType


class Bare:
    """Finds what lies on sys.path, as usual, but for the names that a bare machine has not."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = frozenset(missing)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if name.partition(".")[0] in self.missing else PathFinder.find_spec(name, path, target)


def train() -> None:
    """Both stages on random images, then the whole network on one of them."""
    import torch

    from destseg.model.network import DeSTSeg
    from destseg.model.teacher import new_teacher
    from destseg.training import segmentation, student
    from destseg.training.synthesis import Synthesis, SynthesisSettings, seeded

    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8, generator=seeded(0, "images"))
    synthesis = Synthesis(images, images.flip(0), SynthesisSettings(), seeded(0, "synthesis"))
    network = DeSTSeg(width=8)
    network.teacher = new_teacher().eval()
    first = student.StudentSettings(steps=2, batch=2, lr=0.01)
    network.student, _ = student.train(network.teacher, synthesis, first, seed=0)
    second = segmentation.SegmentationSettings(steps=2, batch=2, width=8)
    network.segmentation, rows = segmentation.train(network.teacher, network.student, synthesis, second, seed=0)
    scores, maps = network.eval()(images[:1])
    assert (scores.shape, maps.shape) == ((1,), (1, *images.shape[-2:]))
    assert torch.isfinite(maps).all()
    assert torch.isfinite(scores).all()
    assert len(rows) == 2


if __name__ == "__main__":
    missing, modules = json.loads(sys.argv[1]), sys.argv[2:]
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Bare(missing)]
    for module in modules:
        importlib.import_module(module)
    train()
    print(f"{len(modules)} modules imported, trained")
