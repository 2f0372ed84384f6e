"""`destseg import-checkpoint`: a checkpoint in the published state-dict layout becomes this project's weights."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from destseg import Error, files
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import MEMORY, SEGMENTATION, STUDENT, TEACHER, build_dir
from destseg.model.memory import save_memory
from destseg.model.network import DeSTSeg
from destseg.model.segmentation import save_segmentation
from destseg.model.student import save_student
from destseg.model.weights import save_weights
from destseg.settings import read_section

MAX_BYTES = 512 << 20  # unpacked; the published network has 141 MB in float32
# Where the published layout keeps each part of the network: (prefix of our names, prefix of theirs). The first matching
# row counts. What is below `segmentation_net.head` is assumed (docs/method.md); correct it here.
NAMES = (
    ("teacher.", "teacher_net.encoder."),
    ("student.", "student_net."),
    ("segmentation.res.", "segmentation_net.res."),
    ("segmentation.head.0.dilated.", "segmentation_net.head.0.convs."),  # 0 to 2: rates 6, 12, 18
    ("segmentation.head.0.pooled.0.", "segmentation_net.head.0.convs.3.1."),  # 3.0 is the pooling
    ("segmentation.head.0.pooled.1.", "segmentation_net.head.0.convs.3.2."),
    ("segmentation.head.0.fuse.", "segmentation_net.head.0.project."),
    ("segmentation.head.1.0.", "segmentation_net.head.1."),
    ("segmentation.head.1.1.", "segmentation_net.head.2."),  # 3 is the ReLU
    ("segmentation.head.2.", "segmentation_net.head.4."),
)
FUSE = "segmentation.head.0.fuse.0.weight"  # its inputs: theirs end with the pooled branch, ours begin with it
COUNTER = ".num_batches_tracked"  # of BatchNorm; not in every file, and no part of the forward pass
# Of the model that the imported one replaces; a calibration of other weights must not be packaged with these.
FORMER = (
    STUDENT,
    SEGMENTATION,
    MEMORY,
    "student-loss.csv",
    "segmentation-loss.csv",
    "calibration.json",
    "metrics.json",
    "evaluation",
    "package",
)


def import_checkpoint(path: Path, category: str) -> str:
    """Writes the category's teacher, student and segmentation net; says what to run next."""
    read_section("image", ImageSettings, category=category)  # an Error for a category that is not there
    network, sha256 = from_published(_read(path), str(path)), files.sha256(path)
    build = build_dir(category)
    for name in FORMER:
        files.remove(build / name)
    named = {"source": "checkpoint", "sha256": sha256, "backbone": network.teacher.name, "licence": "not known"}
    save_weights(build / TEACHER, network.teacher, named)
    save_student(build / STUDENT, network.student)
    save_memory(build / MEMORY, None, {"settings": json.dumps({"memory": {"patches": 0}})})
    save_segmentation(build / SEGMENTATION, network.segmentation)  # last: without it nothing goes on
    return f"{build} holds {path.name}; go on with `destseg evaluate {category}` and `destseg package {category}`"


def from_published(checkpoint: Mapping[Any, Any], where: str) -> DeSTSeg:
    """The network with a published state dict's weights; the first key that does not fit is an Error."""
    network = DeSTSeg()
    expected = network.state_dict()
    ours = {_published(name): name for name in expected}
    found: dict[str, Tensor] = {}
    if unknown := sorted(checkpoint.keys() - ours.keys(), key=str):
        raise Error(f"{where}: {unknown[0]!r} is unknown, expected the published layout only (docs/method.md)")
    for key in sorted(ours):
        if key in checkpoint:
            found[ours[key]] = _checked(checkpoint[key], expected[ours[key]], f"{where}: {key}")
        elif not key.endswith(COUNTER):
            raise Error(f"{where}: {key} is missing, expected {list(expected[ours[key]].shape)}")
    found[FUSE] = found[FUSE].roll(found[FUSE].shape[0], dims=1)
    network.load_state_dict({**expected, **found})
    return network.eval()


def _published(name: str) -> str:
    old, new = next(row for row in NAMES if name.startswith(row[0]))
    return new + name.removeprefix(old)


def _checked(value: Any, expected: Tensor, where: str) -> Tensor:
    """`value` as a tensor of the expected shape and type."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise Error(f"{where} is {type(value).__name__}, expected a dense tensor {list(expected.shape)}")
    if value.shape != expected.shape:
        raise Error(f"{where} is {list(value.shape)}, expected {list(expected.shape)}")
    if value.is_floating_point() != expected.is_floating_point() or value.is_complex() or value.is_quantized:
        raise Error(f"{where} is of {value.dtype}, expected {expected.dtype}")
    tensor = value.detach().to(expected.dtype)
    if not torch.isfinite(tensor).all():
        raise Error(f"{where} has a value that is not finite, expected trained weights")
    return tensor


def _read(path: Path) -> Mapping[Any, Any]:
    """The mapping that torch.save wrote, read without running any code of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror}; expected a checkpoint file") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):  # what zipfile was seen to raise
        raise Error(f"{path} is no checkpoint, expected what torch.save of torch 1.6 or newer writes") from None
    if size > MAX_BYTES:
        raise Error(f"{path} unpacks to {size} bytes, expected at most {MAX_BYTES}: the published network is smaller")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a hostile file raises has no common parent but this
        reason = str(error).partition(". ")[0].partition("\n")[0]
        raise Error(f"{path} cannot be loaded as weights alone ({reason}); expected a dictionary of tensors") from None
    if not isinstance(content, Mapping):
        raise Error(f"{path} holds {type(content).__name__}, expected a dictionary of tensors")
    return content
