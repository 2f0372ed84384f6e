"""A folder in MVTec's layout becomes a category's first dataset version; which datasets there are."""

import hashlib
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.catalogue import SECTIONS
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import DATASETS, GOOD, check_category, dataset_dir, samples
from destseg.dataset.traits import named, suggested
from destseg.edit import editing
from destseg.files import remove, replacing, sha256
from destseg.ingest import check
from destseg.ingest.archives import unpacked
from destseg.ingest.layouts import as_mvtec, in_folder
from destseg.presets.preset import DEFAULT, OWN, Sections, load, of
from destseg.presets.use import write
from destseg.settings import PARAMS, categories, read_section
from destseg.storage import versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Added:
    """A dataset that has been added: its version, how many images it has, and what the person does next."""

    category: str
    version: str
    normals: int
    defects: int
    preset: str
    """Which its settings in params.yaml are; OWN where they are those of none."""
    seen: Sections
    """Settings that were entered because the photographs ask for them."""
    next_step: str

    def __str__(self) -> str:
        preset = "settings of its own" if self.preset == OWN else f"preset {self.preset}"
        seen = f", and for these photographs {named(self.seen)}" if self.seen else ""
        counts = f"{self.normals} normal and {self.defects} defect images"
        return f"{self.category}: {counts}, {preset}{seen}. {self.next_step}"


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """One line of `destseg dataset list`; the counts are None for a dataset that has not been pulled."""

    category: str
    version: str | None
    normals: int | None
    defects: int | None
    state: str

    def __str__(self) -> str:
        if self.normals is None:
            return f"{self.category}: dataset version {self.version}, {self.state}"
        counts = f"{self.normals} normal and {self.defects} defect images"
        return f"{self.category}: dataset version {self.version}, {counts}, {self.state}"


def add(category: str, source: Path, root: Path = Path(), *, preset: str | None = None) -> Added:
    """Check `source`, copy it to data/mvtec/<category>, track it with DVC and enter the category in params.yaml.

    `source` is a folder in MVTec's, VisA's or BTAD's layout, or an archive of one; of an archive of several datasets,
    the one called `category` is taken. All mistakes are reported at once, before anything is copied. Repeating it is
    harmless; a category that has other images is never overwritten. Without `preset` a new category uses DEFAULT, or
    the settings at the top level of params.yaml where these are no preset's; one that is there keeps what it has.
    For a new category that uses DEFAULT, what the photographs ask for is entered too (dataset/traits.py).
    """
    check_category(category)
    if preset is not None:
        load(preset)
    if not (root / ".dvc").is_dir():
        raise Error(f"{root.resolve()} is no DVC repository; run this in the root of a destseg repository")
    scratch = root / ".dvc" / "tmp"  # git and DVC ignore it
    scratch.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if source.is_file():
            logger.info("%s: unpacking %s", category, source)
            source = in_folder(stack.enter_context(unpacked(source, scratch)), category)
        staging = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix="layout-")))
        return _add(category, as_mvtec(source, staging), root, preset)


def _add(category: str, source: Path, root: Path, preset: str | None) -> Added:
    target = dataset_dir(category, root)
    bit_depth = _bit_depth(category, root)
    files = check.files(source, bit_depth)
    _refuse_other(category, root, source, files)
    if not target.exists():
        logger.info("%s: copying %d files", category, len(files))
        with replacing(target) as fresh:
            for name in files:
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, fresh / name)
    versions.dvc(root, "add", target.relative_to(root).as_posix(), log=logger.info)
    kinds = Counter(name.split("/")[0] for name in files)
    if not kinds["ground_truth"]:
        logger.warning("%s has no defect images: nothing will measure what its models find", category)
    trained = [target / name for name in files if name.startswith("train/")]
    seen = _enter(category, root, preset, trained, normals_only=not kinds["ground_truth"])
    version = versions.dataset_version(root, category)
    if not (root / provenance.path(category)).exists():
        photographs = [name for name in files if not name.startswith("ground_truth/")]
        provenance.write(root, category, [_record(target, name, source, version) for name in photographs])
    return Added(
        category=category,
        version=version,
        normals=sum(name.startswith(("train/", f"test/{GOOD}/")) for name in files),
        defects=kinds["ground_truth"],
        preset=of(category, root=root),
        seen=seen,
        next_step=_next_step(category, root),
    )


def _record(target: Path, name: str, source: Path, version: str) -> provenance.Record:
    """Where a photograph of the first version came from: its name there, and when the file was written."""
    written = datetime.fromtimestamp((source / name).stat().st_mtime, UTC).isoformat(timespec="seconds")
    path = target / name
    return {
        "sha256": sha256(path),
        "name": name,
        "keys": [name],
        "modified": written,
        "size": path.stat().st_size,
        "version": version,
    }


def list_datasets(root: Path = Path()) -> list[DatasetRow]:
    """The categories of params.yaml and the datasets under data/mvtec, by name."""
    entered = set(categories(root / PARAMS))
    tracked = {path.stem for path in (root / DATASETS).glob("*.dvc")}
    return [_row(category, root, entered, tracked) for category in sorted(entered | tracked)]


def _row(category: str, root: Path, entered: set[str], tracked: set[str]) -> DatasetRow:
    folder = dataset_dir(category, root)
    if category not in tracked:
        state, version = f"no dataset: destseg dataset add {category} --from DIR", None
    else:
        version = versions.dataset_version(root, category)
        state = "ready" if folder.is_dir() else f"not pulled: dvc pull {versions.pointer(category).as_posix()}"
        if category not in entered:
            state = f"not in {PARAMS}: enter it under categories"
    if version is None or not folder.is_dir():
        return DatasetRow(category=category, version=version, normals=None, defects=None, state=state)
    found = [sample for split in ("train", "test") if (folder / split).is_dir() for sample in samples(folder, split)]
    normals = sum(sample.kind == GOOD for sample in found)
    return DatasetRow(category=category, version=version, normals=normals, defects=len(found) - normals, state=state)


def _bit_depth(category: str, root: Path) -> int:
    params = root / PARAMS
    known = category in categories(params)
    return read_section("image", ImageSettings, category=category if known else None, path=params).bit_depth


def _refuse_other(category: str, root: Path, source: Path, files: list[str]) -> None:
    """An Error when the category is there with other images than these; clears what a killed copy left."""
    for stale in (root / DATASETS).glob(f".{check_category(category)}-????????"):
        remove(stale)
    target = dataset_dir(category, root)
    if (root / versions.pointer(category)).exists():
        present = versions.listing(root, category)
    elif target.exists():
        present = {path.relative_to(target).as_posix(): _md5(path) for path in target.rglob("*") if path.is_file()}
    else:
        return
    if present != {name: _md5(source / name) for name in files}:
        raise Error(
            f"category {category!r} is there already, with other images than {source}; expected a new category: "
            f"choose another name, or bring new photographs of good parts through the inbox"
        )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _enter(
    category: str, root: Path, preset: str | None = None, trained: Sequence[Path] = (), *, normals_only: bool = False
) -> Sections:
    """`categories.<category>` of params.yaml with all its SECTIONS; comments and everything else stay as they are.

    `normals_only`, and with DEFAULT what the photographs that are `trained` on ask for, which it returns, are entered
    with a category that is new; of one that is there already a person has decided.
    """
    with editing(root / PARAMS) as params:
        known = params.content().get("categories") or {}
        entry = known.get(category) or {}
        missing: dict[str, Any] = {section: {} for section in SECTIONS if entry.get(section) is None}
        if normals_only and "validation" in missing:
            missing["validation"] = {"normals_only": True}
        if not entry:
            params.put(("categories", category), missing)
        else:
            for section, settings in missing.items():
                params.put(("categories", category, section), settings)
        if preset is None and category not in known and of(root=root) != OWN:
            preset = DEFAULT
        if preset is not None:
            write(params, load(preset), category)
        seen = suggested(trained, params.content()) if preset == DEFAULT and category not in known else {}
        for section, settings in seen.items():
            for name, value in settings.items():
                params.put(("categories", category, section, name), value)
    return seen


def _next_step(category: str, root: Path) -> str:
    commit = f"git add {PARAMS} {DATASETS} && git commit -m 'Add {category}'"
    if versions.has_remote(root):
        return f"Next: {commit} && dvc push && git push; then `dvc repro` trains it."
    return (
        f"Next: {commit}; then `dvc repro` trains it. The images are on this machine only: "
        f"`dvc remote add -d storage s3://BUCKET/dvc && dvc push` shares them."
    )
