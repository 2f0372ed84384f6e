"""Where the teacher's weights come from: ImageNet through torchvision, a file with its hash, or the bundled formula."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from destseg import Error, files
from destseg.model.teacher import Teacher
from destseg.model.weights import fill, read_weights, save_weights

FORMULA = Path(__file__).with_name("formula.safetensors")


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Which frozen teacher the student learns from."""

    source: Literal["imagenet", "formula", "file"] = "imagenet"
    """imagenet: torchvision's ResNet18 IMAGENET1K_V1, as in the paper; formula: bundled; file: `path`."""
    path: str | None = None
    """For `file`: safetensors with ResNet18's conv1 to layer3 under torchvision's names."""
    sha256: str | None = None
    """For `file`: the SHA-256 it must have."""

    def __post_init__(self) -> None:
        if self.source == "file" and not (self.path and self.sha256):
            raise ValueError("source file needs `path` and `sha256`")


OUT = Path("build/teacher.safetensors")


def fetch(settings: TeacherSettings, out: Path = OUT) -> dict[str, str]:
    """Writes the teacher's weights (float32) to `out` and returns its metadata: `source` and `sha256` of the origin."""
    if settings.source == "imagenet":
        tensors, sha256 = _imagenet()
    else:
        path = FORMULA if settings.source == "formula" else Path(settings.path or "")
        if not path.is_file():
            raise Error(f"teacher {path} does not exist; expected a safetensors file (teacher.path)")
        sha256 = files.sha256(path)
        if settings.source == "file" and sha256 != settings.sha256:
            raise Error(f"teacher {path} has SHA-256 {sha256}, expected {settings.sha256} (teacher.sha256)")
        tensors, _ = read_weights(path)
    metadata = {"source": settings.source, "sha256": sha256}
    teacher = Teacher()
    wanted = teacher.state_dict().keys()
    fill(
        teacher, {name: tensor for name, tensor in tensors.items() if name in wanted}, settings.path or settings.source
    )
    save_weights(out, teacher, metadata)
    return metadata


def _imagenet() -> tuple[dict[str, Tensor], str]:
    from torchvision.models import ResNet18_Weights  # 5 s to import, and only this source needs it

    weights = ResNet18_Weights.IMAGENET1K_V1
    prefix = weights.url.rsplit("-", 1)[-1].removesuffix(".pth")  # torch hub names files by their SHA-256's start
    try:
        tensors: dict[str, Tensor] = dict(weights.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:  # no network, or a hash that does not match
        raise Error(
            f"teacher `imagenet`: {weights.url} could not be had ({error}). Run this once where there is internet and "
            f"`dvc push`, or set teacher.source in params.yaml to `formula` or to a `file` of yours"
        ) from None
    return tensors, prefix
