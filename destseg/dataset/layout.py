"""Where the files of a category lie: its dataset in MVTec's layout, and the folder of its results."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from destseg import Error

DATASETS = Path("data/mvtec")
BUILD = Path("build")
TEACHER = "teacher.safetensors"  # these three below build/<category>
STUDENT = "student.safetensors"
SEGMENTATION = "segmentation.safetensors"
MEMORY = "memory.safetensors"
GALLERY = "gallery.zip"  # the pictures of a comparison
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
GOOD = "good"
NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,47}"
"""What a category's name is, as a regular expression."""
_NAME = re.compile(NAME_PATTERN)
RESERVED = ("-candidates", "-released", "-log")  # what the registry appends to a category's name


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image: `split` is train or test, `kind` is good or a defect type, `mask` the truth of a defective one."""

    path: Path
    split: str
    kind: str
    mask: Path | None = None

    @property
    def name(self) -> str:
        """split/kind/file, as it stands below the dataset's folder."""
        return f"{self.split}/{self.kind}/{self.path.name}"


def check_category(name: str) -> str:
    """`name` if it can be a folder, a stage and a registered model alike, else an Error."""
    if not _NAME.fullmatch(name):
        raise Error(f"category {name!r}: expected 1 to 48 of a-z, 0-9, _ and -, the first a letter or digit")
    if name.endswith(RESERVED):  # whoever trains it could write what is the other category's
        other = name.rpartition("-")[0]
        raise Error(
            f"category {name!r}: the registry would take it for a part of category {other!r}; choose a name that does "
            f"not end in {', '.join(RESERVED)}"
        )
    return name


def is_kind(name: str) -> bool:
    """Whether `name` can be the folder of a defect type that comes from outside."""
    return bool(_NAME.fullmatch(name))


def dataset_dir(category: str, root: Path = Path()) -> Path:
    """data/mvtec/<category>: images and masks only, tracked by DVC."""
    return root / DATASETS / check_category(category)


def build_dir(category: str, root: Path = Path()) -> Path:
    """build/<category>: what the stages of dvc.yaml write."""
    return root / BUILD / check_category(category)


def samples(directory: Path, split: str) -> list[Sample]:
    """The images of one split (train or test) below a category's folder, sorted by kind and name."""
    return sorted(_samples(directory, split), key=lambda sample: sample.name)


def _samples(directory: Path, split: str) -> Iterator[Sample]:
    base = directory / split
    if not base.is_dir():
        raise Error(f"{base} does not exist; expected MVTec's layout: train/good, test/<kind>, ground_truth/<kind>")
    for path in base.glob("*/*"):
        hidden = path.name.startswith(".") or path.parent.name.startswith(".")
        if path.suffix.lower() in IMAGE_SUFFIXES and not hidden:
            kind = path.parent.name
            mask = None if kind == GOOD else directory / "ground_truth" / kind / f"{path.stem}_mask.png"
            yield Sample(path=path, split=split, kind=kind, mask=mask)
