"""The folder of a trial: a small project in which the stages run, and the record of what was done for which inputs."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from destseg import Error, __version__
from destseg.dataset.images import WORKERS
from destseg.dataset.layout import BUILD, DATASETS, dataset_dir
from destseg.files import remove, replacing, sha256, write_text
from destseg.settings import PARAMS
from destseg.storage import locks
from destseg.trial.photographs import Photographs

RECORD = "try.json"
FORMAT = 1
CACHE = "cache"
CHECKPOINT_SECONDS = "15"  # of a training that takes minutes


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a result belongs to: anything else starts over."""

    category: str
    images: dict[str, str]
    """SHA-256 by name."""
    settings: str
    """SHA-256 of params.yaml."""
    version: str = __version__

    def changes(self, before: "Inputs") -> list[str]:
        """What is another than before, in words."""
        came, went = (
            len(a.items() - b.items()) for a, b in ((self.images, before.images), (before.images, self.images))
        )
        said = []
        if self.category != before.category:
            said.append(f"the name was {before.category}")
        if came or went:
            said.append(f"of the photographs, {came} are new and {went} are gone")
        if self.settings != before.settings:
            said.append("the settings are others")
        if self.version != before.version:
            said.append(f"destseg was {before.version}")
        return said


@dataclass(kw_only=True)
class Record:
    """try.json: the inputs, which steps are done for them, and how long each took."""

    inputs: Inputs | None = None
    written: str = ""
    """SHA-256 of params.yaml as `try` wrote it: another one is a person's."""
    done: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


class Project:
    """A trial's folder. Its record is on disk whenever a method has returned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # the steps change the working directory
        self.shown = folder
        self.record = Record()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The folder is this process's alone; an Error where it is not a trial's, or another process works in it."""
        if self.folder.exists() and not self._is_ours():
            raise Error(
                f"{self.shown} exists and was not made by `destseg try`: it has no {RECORD}; name another folder with "
                "--out, or remove this one"
            )
        is_new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._locked():
                yield
        finally:
            if is_new and self.record.inputs is None:  # nothing was begun
                remove(self.folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            if not locks.taken(lock):
                raise Error(f"another `destseg try` works in {self.shown}; wait for it, or name another with --out")
            self.record = self._read()
            self.write()
            yield

    def begin(self, category: str, photographs: Photographs, text: str) -> list[str] | None:
        """Puts the photographs and params.yaml in place, unless they are; what has changed, None at the first time.

        `text` becomes params.yaml, but for one that a person has changed.
        """
        if not self.kept_params():
            write_text(self.folder / PARAMS, text)
            self.record.written = sha256(self.folder / PARAMS)
        inputs = Inputs(category=category, images=hashes(photographs), settings=sha256(self.folder / PARAMS))
        before = self.record.inputs
        if before != inputs:
            self._start_over()
        if "photographs" not in self.record.done:
            with replacing(dataset_dir(category, self.folder)) as fresh:
                for name, path in photographs.files.items():
                    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, fresh / name)
            self.record.inputs = inputs
            self.finish("photographs")
        return None if before is None else inputs.changes(before)

    def kept_params(self) -> bool:
        """Whether params.yaml is there as a person has changed it."""
        path = self.folder / PARAMS
        return path.exists() and sha256(path) != self.record.written

    def finish(self, step: str) -> None:
        """Records that the step is done."""
        self.record.done.append(step)
        self.write()

    def write(self) -> None:
        """try.json."""
        write_text(self.folder / RECORD, json.dumps({"format": FORMAT, **asdict(self.record)}, indent=1) + "\n")

    def _start_over(self) -> None:
        self.record = Record(written=self.record.written)
        self.write()  # first: a kill half-way must not leave a record of what is gone
        for name in (DATASETS, BUILD, CACHE, "heatmaps.png"):
            remove(self.folder / name)

    def _is_ours(self) -> bool:
        if not self.folder.is_dir():
            return False
        return (self.folder / RECORD).is_file() or not [path for path in self.folder.iterdir() if path.name != ".lock"]

    def _read(self) -> Record:
        path = self.folder / RECORD
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                return Record()
            inputs = content.pop("inputs")
            return Record(inputs=None if inputs is None else Inputs(**inputs), **content)
        except FileNotFoundError:
            return Record()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Error(f"{path} cannot be read ({error}); remove {self.shown}, or name another with --out") from None


def hashes(photographs: Photographs) -> dict[str, str]:
    """SHA-256 of each file by its name in the dataset; an Error names all that cannot be read."""

    def of(path: Path) -> str | None:
        try:
            return sha256(path) if path.is_file() else None
        except OSError:
            return None

    with ThreadPoolExecutor(WORKERS) as pool:
        found = dict(zip(photographs.files, pool.map(of, photographs.files.values()), strict=True))
    if broken := [str(photographs.files[name]) for name, digest in found.items() if digest is None]:
        raise Error(f"cannot be read: {', '.join(broken[:20])}; expected files that you may read, remove or mend them")
    return {name: digest for name, digest in found.items() if digest is not None}


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The stages work in `folder`; what they keep lies in it too, unless the environment says otherwise."""
    wanted = {"DESTSEG_CACHE": str(folder.resolve() / CACHE), "DESTSEG_CHECKPOINT_SECONDS": CHECKPOINT_SECONDS}
    added = {name: value for name, value in wanted.items() if not os.environ.get(name)}
    os.environ.update(added)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        for name in added:
            del os.environ[name]
