"""A real MLflow store in a SQLite file, and a repository with results such as the pipeline leaves them."""

import hashlib
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destseg import __version__
from destseg.dataset.accepted import Accepted, accepted_path
from destseg.files import sha256
from destseg.registry import comparison
from destseg.registry.addresses import find
from destseg.registry.connection import candidates, connect
from destseg.registry.evidence import Lineage, resolved_params
from destseg.registry.history import released_versions, succession
from destseg.registry.listing import address
from destseg.registry.register import submit

from ..comparisons import content

CATEGORY = "washer"
PARAMS = """
seed: 3
student: {steps: 1200, lr: 0.4}
segmentation: {width: 256, steps: 3}
promotion: {min_image_auroc: 0.9}
categories:
  washer: {student: {steps: 2400}, image: {}}
  fabric: {}
"""


def digest(text: str) -> str:
    """SHA-256 of an image that nobody looks at."""
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="session")
def store_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the session: creating MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def store(store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a process that uses the session's store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_dir}/mlflow.db")
    monkeypatch.setenv("DESTSEG_CACHE", str(store_dir / "cache"))
    monkeypatch.delenv("DESTSEG_ARTIFACTS", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    return store_dir


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes params.yaml and build/<category>/ and returns the repository's root."""

    def write(
        category: str = CATEGORY,
        *,
        weights: bytes = b"weights",
        image_auroc: float = 0.97,
        normals: int = 3,
        steps: int = 3,
        calibration: dict[str, float] | None = None,
    ) -> Path:
        (tmp_path / "params.yaml").write_text(PARAMS.replace("washer", category), encoding="utf-8")
        build = tmp_path / "build" / category
        package = build / "package"
        for folder in (package / "golden", build / "evaluation/heatmaps"):
            folder.mkdir(parents=True, exist_ok=True)
        (package / "model.safetensors").write_bytes(weights)
        (package / "model.onnx").write_bytes(b"graph of " + weights)
        differences = {"model.safetensors": 0.0, "model.onnx": 1e-6}
        (package / "parity.json").write_text(json.dumps({"tolerance": 1e-3, "largest_difference": differences}))
        (package / "golden/0.png").write_bytes(b"picture")
        images = [(f"train/good/{index}.png", digest(f"{category} {index}")) for index in range(normals)]
        Accepted(category=category, training=images[1:], calibration=images[:1]).write(tmp_path)
        tested = {"name": "test/scratch/0.png", "sha256": digest(f"{category} scratch"), "kind": "scratch", "score": 1}
        (build / "evaluation/scores.json").write_text(json.dumps([tested]))
        card = {
            "format": 1,
            "category": category,
            "teacher": {"source": "formula", "sha256": "5" * 64},
            "files": {name: sha256(package / name) for name in ("model.safetensors", "model.onnx")},
            "training_images": sha256(accepted_path(category, tmp_path)),
            "destseg": __version__,
            "calibration": calibration,
        }
        (package / "model.json").write_text(json.dumps(card))
        (build / "metrics.json").write_text(
            json.dumps({"image_auroc": image_auroc, "pixel_ap": 0.61, "image_count": 40})
        )
        (build / "calibration.json").write_text("{}")
        (build / "evaluation/report.html").write_text("<p>report</p>")
        (build / "evaluation/heatmaps/0.png").write_bytes(b"heat")
        losses = "".join(f"{step},{1 / (step + 1)}\n" for step in range(steps))
        (build / "student-loss.csv").write_text(f"step,loss\n{losses}")
        (build / "segmentation-loss.csv").write_text("step,focal,l1\n0,0.5,0.25\n1,0.4,0.2\n")
        return tmp_path

    return write


@pytest.fixture
def lineage() -> Callable[..., Lineage]:
    """A function that gives the lineage of a training of these results, each `key` standing for another training."""

    def make(root: Path, key: str, *, category: str = CATEGORY, clean: bool = True) -> Lineage:
        return Lineage(
            dataset_version="aa" * 16 + ".dir",
            dataset_url=f"s3://bucket/dvc/files/md5/aa/{'aa' * 15}.dir",
            commit="c" * 40,
            clean=clean,
            training_key=key,
            lock={f"package@{category}": {"cmd": "python -m destseg package"}},
            params=resolved_params(category, root),
            teacher={"source": "formula", "sha256": "5" * 64},
        )

    return make


@pytest.fixture
def compared() -> Callable[..., dict[str, Any]]:
    """A function that logs a comparison of the category's challenger with the present champion, made by hand.

    `changes` replace parts of its content, which it returns.
    """

    def make(category: str = CATEGORY, **changes: Any) -> dict[str, Any]:
        client = connect()
        challenger = find(client, candidates(category), alias="challenger")
        line = succession(released_versions(client, category))
        number = int(line[-1].version) if line else None
        found = content(champion=number, metrics=json.loads(challenger.tags["metrics"])) | changes
        for role, version in {"challenger": challenger, "champion": line[-1] if line else None}.items():
            if version is not None:
                found[role] = {**found[role], "address": address(version)}
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / comparison.CONTENT).write_text(json.dumps(found))
            (Path(folder) / "gallery.zip").write_bytes(b"pictures")
            comparison.log(client, category, challenger, comparison.number(line[-1] if line else None), Path(folder))
        return found

    return make


@pytest.fixture
def category(request: pytest.FixtureRequest) -> str:
    """A category of the test's own, since the store is shared."""
    return re.sub(r"[^a-z0-9_-]+", "_", request.node.name.replace("test_", "")[:40].lower()).rstrip("_")


@pytest.fixture
def train(
    results: Callable[..., Path], lineage: Callable[..., Lineage], compared: Callable[..., Any], category: str
) -> Callable[..., Path]:
    """A function that registers and compares a training with these weights, and returns the repository's root."""

    def run(key: str, *, clean: bool = True, image_auroc: float = 0.97) -> Path:
        root = results(category, weights=key.encode(), image_auroc=image_auroc)
        submit(category, lineage(root, key, category=category, clean=clean), root=root)
        compared(category)
        return root

    return run
