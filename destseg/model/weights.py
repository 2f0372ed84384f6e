"""Weights on disk: safetensors, written whole or not at all, read without running any code."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from destseg import Error
from destseg.files import replacing

MODEL = "model.safetensors"
KEY = "destseg"  # all metadata under one key: safetensors writes several in a random order, and DVC hashes the file


def save_weights(
    path: Path, module: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """The tensors as safetensors under `path`, complete or not there at all."""
    state = module.state_dict() if isinstance(module, nn.Module) else module
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as fresh:
        save_file(tensors, fresh, metadata={KEY: json.dumps(dict(metadata or {}), sort_keys=True)})
        fresh.chmod(0o644)  # safetensors writes files that only their owner may read


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file; floating-point tensors widened to float32."""
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        metadata = _metadata(file)
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata alone."""
    with _opened(path) as file:
        return _metadata(file)


def _metadata(file: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads((file.metadata() or {}).get(KEY, "{}"))
    return found


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
    fill(module, tensors, str(path))
    return metadata


def fill(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Loads the tensors; the first wrong key or shape is an Error that names `where`."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        found = list(tensors[name].shape) if name in tensors else "nothing"
        wanted = list(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise Error(f"{where}: {name} is {found}, expected {wanted} for {type(module).__name__}")
    module.load_state_dict(tensors)
