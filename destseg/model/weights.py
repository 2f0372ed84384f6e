"""Networks on disk: safetensors beside a JSON card, written whole or not at all, read without running any code."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from destseg import Error
from destseg.files import replacing
from destseg.model.calibration import Calibration

MODEL = "model.safetensors"
CARD = "model.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What stands beside the weights: all that scoring needs to know, and where the model comes from."""

    category: str
    size: int
    bit_depth: int
    segmentation_width: int
    teacher: dict[str, str]
    """`source` (imagenet, formula, file) and `sha256` of the teacher's weights."""
    calibration: Calibration | None
    training_images: str
    """SHA-256 of accepted.json: the exact images that trained and calibrated this model."""
    destseg: str
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 of each file beside the card."""

    def to_json(self) -> str:
        """The card as JSON text."""
        content = {**vars(self), "calibration": self.calibration.to_dict() if self.calibration else None}
        return json.dumps({"format": FORMAT, **content}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "ModelCard":
        """The card, or an Error that names `where` and what is wrong with it."""
        try:
            content: dict[str, Any] = json.loads(text)
            version = content.pop("format")
            calibration = content.pop("calibration")
            card = cls(**content, calibration=Calibration.from_dict(calibration) if calibration else None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Error(f"{where} is no model card ({error}); expected what `destseg package` wrote") from None
        if version != FORMAT:
            raise Error(f"{where} has format {version}, this destseg reads {FORMAT}; use the release that wrote it")
        return card


def save_weights(
    path: Path, module: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """The tensors as safetensors under `path`, complete or not there at all."""
    state = module.state_dict() if isinstance(module, nn.Module) else module
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as fresh:
        save_file(tensors, fresh, metadata=dict(metadata or {}))
        fresh.chmod(0o644)  # safetensors writes files that only their owner may read


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file; floating-point tensors widened to float32."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        metadata = dict(file.metadata() or {})
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata alone."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise Error(f"{path} does not exist; the stage before this one writes it: run `dvc repro`") from None
    except (SafetensorError, OSError) as error:
        raise Error(f"{path} cannot be read as safetensors: {error}") from None


def load_weights(path: Path, module: nn.Module) -> dict[str, str]:
    """Fills `module` from the file and returns the file's metadata; the first wrong key or shape is an Error."""
    tensors, metadata = read_weights(path)
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        found = list(tensors[name].shape) if name in tensors else "nothing"
        wanted = list(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise Error(f"{path}: {name} is {found}, expected {wanted} for {type(module).__name__}")
    module.load_state_dict(tensors)
    return metadata
