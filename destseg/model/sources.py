"""Where the teacher's weights come from: ImageNet through torchvision, a file with its hash, or the bundled formula."""

import socket
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, hub

from destseg import Error, files
from destseg.model.teacher import Teacher
from destseg.model.weights import fill, read_weights, save_weights

FORMULA = Path(__file__).with_name("formula.safetensors")
# Of the whole file; its name, resnet18-f37072fd.pth, carries the first 8 digits.
IMAGENET_SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
PATIENCE = 10.0  # seconds for each address of the server to answer, and for each piece of the download


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Which frozen teacher the student learns from."""

    source: Literal["imagenet", "formula", "file"] = "imagenet"
    """imagenet: torchvision's ResNet18 IMAGENET1K_V1, as in the paper; formula: bundled; file: `path`."""
    path: str | None = None
    """For `file`: safetensors with ResNet18's conv1 to layer3 under torchvision's names; what else it has is left."""
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
    wanted = teacher.state_dict()
    # Files older than BatchNorm's counters lack them, and a frozen network never reads them.
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(".num_batches_tracked")}
    known = counters | {name: tensor for name, tensor in tensors.items() if name in wanted}
    fill(teacher, known, settings.path or settings.source)
    save_weights(out, teacher, metadata)
    return metadata


def _imagenet() -> tuple[dict[str, Tensor], str]:
    from torchvision.models import ResNet18_Weights  # 5 s to import, and only this source needs it

    weights = ResNet18_Weights.IMAGENET1K_V1
    path = Path(hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])  # where torchvision looks first
    if not path.exists():
        _download(weights.url, path)
    # Checked on every use: torch hub does it after a download only, and then the first 8 digits only.
    if (sha256 := files.sha256(path)) != IMAGENET_SHA256:
        raise Error(
            f"teacher `imagenet`: {path} has SHA-256 {sha256}, expected {IMAGENET_SHA256}; delete it, so that it is "
            "downloaded again"
        )
    return dict(weights.get_state_dict(weights_only=True)), sha256


def _download(url: str, path: Path) -> None:
    """Writes `path` whole or not at all; every wait for the network ends after PATIENCE."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torch hub sets none
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(path), IMAGENET_SHA256)
    except (OSError, RuntimeError, HTTPException) as error:  # no network or disk, another hash, a broken answer
        raise Error(
            f"teacher `imagenet`: {url} could not be had ({error}), nor is it in {path.parent}. Where there is "
            "internet, run `dvc repro teacher` and `dvc push --run-cache` once: then `dvc repro --pull` takes the "
            "teacher from the DVC remote. Or set teacher.source in params.yaml to `formula`, or to `file` with "
            "teacher.path and teacher.sha256"
        ) from None
    finally:
        socket.setdefaulttimeout(before)
