"""A clone with a dataset in its DVC remote, made once and copied: DVC takes a second to add and push it."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from destseg.dataset.accepted import Accepted, accepted_path
from destseg.dataset.layout import dataset_dir
from destseg.files import sha256
from destseg.registry.evidence import Lineage
from destseg.registry.register import submit
from destseg.storage import versions

from ..packages import photograph, write_package


def make_template(folder: Path) -> Path:
    """A clone with a dataset of the category `plate`, pushed to `remote` beside it; nothing is committed."""
    root = folder / "clone"
    rng, data = np.random.default_rng(0), dataset_dir("plate", root)
    for index in range(5):
        photograph(data / f"train/good/{index}.png", rng)
    for index in range(3):
        photograph(data / f"test/good/{index}.png", rng)
        photograph(data / f"test/hole/{index}.png", rng, defect=True)
    versions.git(root, "init", "--quiet", "--initial-branch=main")
    versions.git(root, "config", "user.name", "Test")
    versions.git(root, "config", "user.email", "test@example.com")
    configure(root, root.parent / "remote")
    (root / ".gitignore").write_text("/build\n/data/mvtec/*/\n")
    versions.dvc(root, "add", "--quiet", str(data.relative_to(root)))
    versions.dvc(root, "push", "--quiet", str(versions.pointer("plate")))
    return root


def configure(root: Path, remote: Path) -> None:
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc/config").write_text(f"[core]\n remote = r\n['remote \"r\"']\n url = {remote}\n")


class Repository:
    """A copy of the template under another category, its remote, and a function that registers a model of it."""

    def __init__(
        self,
        root: Path,
        template: Path,
        category: str,
        results: Callable[..., Path],
        lineage: Callable[..., Lineage],
    ) -> None:
        self.root, self.category, self.results, self.lineage = root, category, results, lineage
        self.remote = root.parent / f"{root.name}-remote"
        shutil.copytree(template, root, dirs_exist_ok=True)
        shutil.copytree(template.parent / "remote", self.remote)
        configure(root, self.remote)
        data, pointer = dataset_dir(category, root), root / versions.pointer("plate")
        dataset_dir("plate", root).rename(data)
        text = pointer.read_text().replace("path: plate", f"path: {category}")
        pointer.rename(root / versions.pointer(category)).write_text(text)
        self.normals = [data / f"train/good/{index}.png" for index in range(5)]
        self.results(category)
        self.commit("A dataset")

    def git(self, *arguments: str) -> str:
        return versions.git(self.root, *arguments)

    def commit(self, message: str) -> str:
        return versions.commit(self.root, [Path()], message)

    def train(
        self,
        key: str,
        *,
        seed: int,
        normals: slice = slice(3),
        params: dict[str, Any] | None = None,
        seen: Sequence[str] = (),
    ) -> str:
        """A candidate with random weights, its threshold from the dataset, `seen` among its images; its address."""
        self.results(self.category)
        package, data = self.root / "build" / self.category / "package", dataset_dir(self.category, self.root)
        names = [*(path.relative_to(data).as_posix() for path in self.normals[normals]), *seen]
        images = [(name, sha256(data / name)) for name in names]
        Accepted(category=self.category, training=images[1:], calibration=images[:1]).write(self.root)
        parity = json.loads((package / "parity.json").read_text())
        listed = sha256(accepted_path(self.category, self.root))
        shutil.rmtree(package)
        write_package(package, self.normals, seed=seed, category=self.category)
        made = json.loads((package / "model.json").read_text())
        (package / "model.json").write_text(json.dumps({**made, "training_images": listed}))
        parity["largest_difference"].pop("model.onnx")
        (package / "parity.json").write_text(json.dumps(parity))
        found = self.lineage(self.root, key, category=self.category)
        found = replace(found, commit=versions.head(self.root), params={**found.params, **(params or {})})
        found = replace(found, dataset_version=versions.dataset_version(self.root, self.category))
        return submit(self.category, found, root=self.root).model_uri
