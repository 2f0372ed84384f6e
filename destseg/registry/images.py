"""The exact images that a model saw: a list among the files of its run, which the version's tag `image_list` names."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from destseg import Error
from destseg.dataset.accepted import accepted_path, read_accepted
from destseg.dataset.layout import build_dir
from destseg.files import replacing, sha256, write_text
from destseg.registry.connection import explained
from destseg.storage import memo

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Part = Literal["training", "calibration", "acceptance"]
LIST = "lineage/images.jsonl"  # among the files of the run
TAG = "image_list"  # of the version: the list's SHA-256
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image that trained, calibrated or tested a model."""

    sha256: str
    name: str
    """Below data/mvtec/<category>/."""
    part: Part

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or self.part not in get_args(Part):
            raise ValueError(f"{self.part!r} image with SHA-256 {self.sha256!r}")


def seen(category: str, root: Path, training_images: str) -> list[SeenImage]:
    """The images behind build/<category>; `training_images` is the SHA-256 of accepted.json that the card names."""
    path = accepted_path(category, root)
    accepted = read_accepted(category, root)
    if (found := sha256(path)) != training_images:
        raise Error(
            f"{path} has SHA-256 {found}, the package was trained on the images of {training_images or 'no list'}; "
            f"run `dvc repro` before `destseg register {category}`"
        )
    parts: dict[Part, Iterable[tuple[str, str]]] = {
        "training": accepted.training,
        "calibration": accepted.calibration,
        "acceptance": _tested(build_dir(category, root) / "evaluation/scores.json"),
    }
    return [SeenImage(sha256=sha, name=name, part=part) for part, images in parts.items() for name, sha in images]


def write(path: Path, images: Iterable[SeenImage]) -> None:
    """One JSON object a line, in the given order."""
    write_text(path, "".join(json.dumps(asdict(image)) + "\n" for image in images))


def read(path: Path, containing: str = "") -> list[SeenImage]:
    """The images of a list; with `containing` only those whose line has this text, which takes a tenth of the time."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [SeenImage(**json.loads(line)) for line in lines if containing in line]
    except (ValueError, TypeError) as error:
        raise Error(f"{path} is no list of images ({error}); expected sha256, name and part in each line") from None


def fetch(version: "ModelVersion") -> Path:
    """The list of this version in $DESTSEG_CACHE, its bytes as the tag says; versions of the same images share it."""
    uri = f"models:/{version.name}/{version.version}"
    expected = version.tags.get(TAG, "")
    if not _SHA256.fullmatch(expected):
        raise Error(f"{uri} names no list of its images; expected a version that this or a newer destseg registered")
    path = memo.cache() / "lineage" / f"{expected}.jsonl"
    try:
        if not path.is_file() or sha256(path) != expected:
            _download(uri, str(version.run_id), path, expected)
        return path
    except OSError as error:
        raise Error(f"{path.parent} cannot be used ({error.strerror}); set DESTSEG_CACHE to a folder") from None


def _download(uri: str, run_id: str, path: Path, expected: str) -> None:
    import mlflow

    with replacing(path) as fresh, explained(f"reading the images of {uri}"):
        got = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=LIST, dst_path=str(fresh.parent)))
        if (found := sha256(got)) != expected:
            raise Error(f"{uri}: {LIST} of its run has SHA-256 {found}, registered was {expected}; do not rely on it")
        got.replace(fresh)


def _tested(path: Path) -> list[tuple[str, str]]:
    """(name, SHA-256) of the images that `destseg evaluate` scored."""
    try:
        return [(str(row["name"]), str(row["sha256"])) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise Error(f"{path} does not exist; run `dvc repro` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Error(f"{path} cannot be read ({error!r}); expected name and sha256 of each image: `dvc repro`") from None
