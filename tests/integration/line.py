"""A production line for the tests: photographs, an inbox on a real S3 server, a project in git with its data in DVC."""

import hashlib
import io
import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from destseg.ingest.add import add
from destseg.ingest.batch import BatchResult, IngestSettings, ingest
from destseg.storage import s3, versions

SEEDS = itertools.count()


def photograph(mode: str = "RGB", format: str = "PNG") -> bytes:
    """A photograph that no other call gives."""
    values = np.random.default_rng(next(SEEDS)).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).convert(mode).save(stream, format)
    return stream.getvalue()


def black() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    return stream.getvalue()


def mask(marked: int = 9, size: int = 64) -> bytes:
    """255 on a square of `marked` pixels a side."""
    values = np.zeros((size, size), np.uint8)
    values[:marked, :marked] = 255
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


class Line:
    """A production line with a project: its first dataset version is pushed, its inbox empty."""

    def __init__(self, origin: Any, folder: Path) -> None:
        self.origin, self.folder, self.bucket = origin, folder, origin.bucket
        self.clones = 0

    def clone(self) -> Path:
        self.clones += 1
        return Path(self.origin.clone(self.folder / f"clone-{self.clones}"))

    def send(self, photographs: dict[str, bytes]) -> None:
        for name, content in photographs.items():
            s3.upload(self.bucket, f"inbox/washer/{name}", content)

    def ingest(self, root: Path | None = None, **settings: Any) -> BatchResult:
        return ingest("washer", root=root or self.clone(), bucket=self.bucket, settings=IngestSettings(**settings))

    def keys(self, prefix: str) -> list[str]:
        return [item.key.removeprefix(prefix) for item in s3.list_objects(self.bucket, prefix)]

    def quarantined(self, stem: str) -> int:
        """How many photographs of this name are in quarantine, each with its reason."""
        found = [key for key in self.keys("quarantine/washer/") if f"/{stem}-" in key]
        photographs = [key for key in found if not key.endswith(".json")]
        assert sorted(found) == sorted(photographs + [f"{key}.json" for key in photographs])
        return len(photographs)

    def version(self) -> str:
        """What origin has."""
        return versions.dataset_version(self.clone(), "washer")

    def origin_head(self) -> str:
        return versions.git(self.origin.path, "rev-parse", "main").strip()

    def version_with(self, files: dict[str, str], photographs: list[bytes]) -> str:
        """The hash that DVC gives the dataset of `files` (name: MD5) and these PNG photographs."""
        new = {f"train/good/{hashlib.sha256(one).hexdigest()[:16]}.png": hashlib.md5(one) for one in photographs}
        files = files | {name: digest.hexdigest() for name, digest in new.items()}
        rows = [{"md5": files[name], "relpath": name} for name in sorted(files)]
        return hashlib.md5(json.dumps(rows, sort_keys=True).encode()).hexdigest() + ".dir"

    def killed(self, hook: Path) -> None:
        """An ingest that git's hook kills -9 as soon as it runs; then the hook is taken away."""
        root, note = self.clone(), self.folder / "pid"
        target = root / ".git/hooks/pre-push" if hook.name == "pre-push" else hook
        executable(target, f"#!/bin/sh\nkill -9 $(cat {note})\nsleep 10\n")
        code = (
            f"import os, pathlib\n"
            f"from destseg.ingest.batch import IngestSettings, ingest\n"
            f"pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
            f"ingest('washer', root=pathlib.Path({str(root)!r}), bucket={self.bucket!r}, settings=IngestSettings())\n"
        )
        assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == -signal.SIGKILL
        target.unlink()


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def first_version(origin: Any, folder: Path) -> Line:
    """The line after `add`: four normal images and one to test with."""
    line = Line(origin, folder)
    source, root = line.folder / "source", line.clone()
    for name in ["train/good/a", "train/good/b", "train/good/c", "train/good/d", "test/good/e"]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / f"{name}.png").write_bytes(photograph())
    added = add("washer", source, root)
    assert "git add" in added.next_step
    assert "dvc push" in added.next_step
    versions.commit(root, [Path("params.yaml"), Path("data")], "Add washer")
    versions.dvc(root, "push")
    assert versions.push(root)
    return line
