"""A training's whole state on disk, so that one that is killed goes on where it was, in another workspace too."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from destseg.files import replacing
from destseg.settings import read_environment
from destseg.storage.memo import cache, held
from destseg.training import parallel

log = logging.getLogger(__name__)
State = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """Read from DESTSEG_CHECKPOINT_SECONDS."""

    checkpoint_seconds: float = 60.0
    """Between two saved states, of 200 MB for the paper's student; what is lost when a training is killed."""


class Checkpoint:
    """One file. Not being able to write it is a warning: the training goes on."""

    def __init__(self, path: Path, *, every: float) -> None:
        self.path, self.every, self.saved = path, every, time.monotonic()

    def load(self, device: torch.device) -> State | None:
        """What `save` wrote, read without running any code of it; None if there is nothing that can be read."""
        try:
            state: State = torch.load(self.path, map_location=device, weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # what a broken file raises has no common parent but this
            reason = str(error).partition(". ")[0].partition("\n")[0]
            log.warning("%s cannot be read (%s): training from the start", self.path, reason)
            return None
        return state

    def precision(self) -> Literal["float32", "bfloat16"] | None:
        """In which the saved state was trained, the same for all processes; None if nothing says so."""
        found = None
        if parallel.first() and self.path.exists():
            with suppress(Exception):  # `load` says what is wrong with the file
                found = torch.load(self.path, map_location="cpu", weights_only=True, mmap=True)["precision"]
        found = parallel.agreed(found)
        return found if found in ("float32", "bfloat16") else None

    def due(self) -> bool:
        """Whether the last state is older than `every` seconds; one process decides."""
        return parallel.first() and time.monotonic() - self.saved >= self.every

    def save(self, state: State) -> None:
        """Replaces the file at once or not at all."""
        try:
            with replacing(self.path) as fresh:
                torch.save(state, fresh)
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter when the disk is full
            log.warning("%s cannot be written (%s): training goes on without", self.path, str(error).partition("\n")[0])
        self.saved = time.monotonic()

    def remove(self) -> None:
        """When the weights are written."""
        if parallel.first():
            self.path.unlink(missing_ok=True)


@contextmanager
def checkpoint(stage: str, inputs: dict[str, Any]) -> Iterator[Checkpoint | None]:
    """The checkpoint of one stage with these inputs (JSON) and this code; removed at a clean end.

    None where another process trains the same just now, or where $DESTSEG_CACHE cannot be written.
    """
    path = cache() / "checkpoints" / f"{stage}-{key(inputs)}.pt"
    with held(path) if parallel.first() else nullcontext(False) as mine:
        if parallel.agreed(mine):
            found = Checkpoint(path, every=read_environment(CheckpointSettings).checkpoint_seconds)
            yield found
            found.remove()
        else:
            log.warning("%s: training without checkpoints", stage)
            yield None


def key(inputs: dict[str, Any], package: Path = Path(__file__).parents[1]) -> str:
    """Of what a training is made of, torch's version and the code in `package` included."""
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    content = json.dumps([inputs, torch.__version__, code.hexdigest()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]
