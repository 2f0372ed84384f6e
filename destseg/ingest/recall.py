"""Images taken out of a dataset, such as a bad lot: a version like any other, and the old one stays what it was."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.layout import GOOD, dataset_dir
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.files import remove as delete
from destseg.ingest.publish import ATTEMPTS, publish
from destseg.storage import versions
from destseg.text import reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What was taken out, and the version that is without it."""

    category: str
    removed: tuple[str, ...]
    dataset_version: str
    commit: str

    def __str__(self) -> str:
        names = [f"  - {name}" for name in self.removed]
        return "\n".join([f"{self.category}: {len(self.removed)} files out; version {self.dataset_version}", *names])


def recall(category: str, images: Sequence[str], why: str, root: Path = Path()) -> Recalled:
    """Take `images` out of the dataset, in `root`, a clean clone, and push the version without them.

    Each is a name such as train/good/x.png, or the first 8 and more characters of a SHA-256. A defect image takes its
    mask along. DVC needs the dataset in the workspace for it: it is pulled.
    """
    why = reason(why)
    versions.update(root)
    for _ in range(ATTEMPTS):
        names = _named(root, category, images)
        before = versions.dataset_version(root, category)
        versions.dvc(root, "pull", versions.pointer(category).as_posix(), log=logger.info)
        for name in names:
            delete(dataset_dir(category, root) / name)
        versions.dvc(root, "add", dataset_dir(category, root).relative_to(root).as_posix(), log=logger.info)
        kept = [record for record in provenance.read(root, category) if record["name"] not in names]
        provenance.write(root, category, kept)
        after = versions.dataset_version(root, category)
        if publish(root, category, _message(category, names, why, before, after)):
            head = versions.head(root)
            return Recalled(category=category, removed=tuple(names), dataset_version=after, commit=head)
    raise Error(f"other runs changed {category} during each of {ATTEMPTS} attempts; nothing was taken out, run again")


def _named(root: Path, category: str, images: Sequence[str]) -> list[str]:
    """The files to take out, sorted; an Error names all that the dataset has not, or would be left without."""
    listed = versions.listing(root, category)
    records = provenance.read(root, category)
    found, wrong = set(), []
    for image in images:
        by_hash = re.fullmatch(r"[0-9a-f]{8,64}", image)
        same = [str(record["name"]) for record in records if by_hash and str(record["sha256"]).startswith(image)]
        if image in listed and not image.startswith("ground_truth/"):
            found.add(image)
        elif len(same) == 1:
            found.add(same[0])
        else:
            wrong.append(f"{image} ({len(same)} images)" if same else image)
    if wrong:
        raise Error(
            f"no one image of {category!r} is {', '.join(wrong)}; expected names such as train/{GOOD}/x.png, "
            f"or at least 8 characters of a SHA-256 in {provenance.path(category)}"
        )
    if not any(name.startswith(f"train/{GOOD}/") and name not in found for name in listed):
        raise Error(f"{category!r} would have no normal image left; expected to keep some, remove the category instead")
    masks = {_mask(name) for name in found if name.startswith("test/")}
    return sorted(found | (masks & listed.keys()))


def _mask(name: str) -> str:
    path = PurePosixPath(name)
    return f"ground_truth/{path.parts[1]}/{path.stem}{MASK_SUFFIX}"


def _message(category: str, names: Sequence[str], why: str, before: str, after: str) -> str:
    listed = "\n".join(f"  {name}" for name in names)
    head = f"{category}: {len(names)} files taken out: {' '.join(why.split())}"
    return f"{head}\n\nDataset version {after}, before {before}.\nOut:\n{listed}\n"
