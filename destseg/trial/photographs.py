"""What a person gives `destseg try`: a folder of photographs of good parts, or a dataset in a known layout."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from destseg import Error
from destseg.dataset.layout import GOOD, IMAGE_SUFFIXES, RESERVED
from destseg.ingest import check
from destseg.ingest.archives import unpacked
from destseg.ingest.layouts import as_mvtec, in_folder
from destseg.text import printable
from destseg.validation.verdict import Finding

_SYSTEM = frozenset({"thumbs.db", "desktop.ini"})
_GOODS = frozenset({"good", "ok", "normal", "normals", "train"})
_BADS = frozenset(
    {"anomaly", "bad", "defect", "defects", "ground_truth", "ko", "mask", "masks", "ng", "nok", "reject", "test"}
)


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """The files of a dataset, by their names in MVTec's layout, and where they lie now."""

    files: dict[str, Path]
    folder: str | None = None
    """The plain folder that all of train/good comes from; None for a known layout."""
    names: dict[str, str] = field(default_factory=dict)
    """What each is called in the plain folder."""
    left_out: tuple[str, ...] = ()
    """Files that are not images by their suffix; in a known layout they are findings instead."""

    def told(self, finding: Finding) -> str:
        """The finding with the names that the person knows."""
        file, text = finding.file, finding.text
        if self.folder is not None:
            if finding.other:
                text = text.replace(finding.other, self.names[finding.other])
            file, text = self.names.get(file or "", file), text.replace(f"train/{GOOD}", self.folder)
        return printable(f"{file}: {text}" if file else text)


def category_of(folder: Path) -> str:
    """A category's name made of the name of a folder or an archive."""
    folder = folder.resolve()
    name = folder.name.partition(".")[0] if folder.is_file() else folder.name
    valid = re.sub("[^a-z0-9_]+", "-", name.lower()).strip("-_")[:48].rstrip("-_")
    if not valid or valid.endswith(RESERVED):
        raise Error(f"no category can be named after {folder.name!r}; choose a name with --name, such as --name bolt")
    return valid


@contextmanager
def opened(folder: Path, category: str, scratch: Path) -> Iterator[Photographs]:
    """The photographs in `folder`; while the context lives, as archives are unpacked below `scratch`."""
    with ExitStack() as stack:
        if folder.is_file():
            inside = _top(stack.enter_context(unpacked(folder, scratch)))
            is_plain = any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside.iterdir())
            inside = inside if is_plain else in_folder(inside, category)
        elif not folder.is_dir():
            raise Error(f"{folder} does not exist; expected a folder of photographs of good parts")
        else:
            inside = folder
        if _is_dataset(inside):
            staging = Path(stack.enter_context(TemporaryDirectory(dir=scratch, prefix="layout-")))
            source = as_mvtec(inside, staging)
            yield Photographs(files={name.as_posix(): source / name for name in check.present(source)})
        else:
            yield _plain(inside, str(folder))


def _is_dataset(folder: Path) -> bool:
    return any((folder / inside).is_dir() for inside in ("train", "Data/Images"))


def _top(folder: Path) -> Path:
    """The first folder below that holds more than one folder."""
    while len(found := [path for path in folder.iterdir() if path.name != "__MACOSX"]) == 1 and found[0].is_dir():
        (folder,) = found
    return folder


def _plain(folder: Path, called: str) -> Photographs:
    """Every image below `folder`, all of good parts, as train/good; a name says the sub-folders that it comes from."""
    images: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir() or path.name.lower() in _SYSTEM or any(part.startswith(".") for part in name.parts):
            continue
        (images if path.suffix.lower() in IMAGE_SUFFIXES else others).append(name)
    known = ", ".join(sorted(IMAGE_SUFFIXES))
    if not images:
        ends = ", ".join(sorted({name.suffix.lower() or "no suffix" for name in others}))
        held = f", only files with {ends}" if others else ""
        raise Error(f"{folder} holds no image{held}; expected photographs of good parts that end in one of {known}")
    _refuse_mixed(folder, images)
    files: dict[str, Path] = {}
    names: dict[str, str] = {}
    for name in images:
        place = f"train/{GOOD}/{'-'.join(name.parts)}"
        while place in files:  # a-b.png beside a/b.png
            place = f"{place.removesuffix(name.suffix)}-2{name.suffix}"
        files[place] = folder / name
        names[place] = str(name)
    return Photographs(files=files, folder=called, names=names, left_out=tuple(str(name) for name in others))


def _refuse_mixed(folder: Path, images: list[Path]) -> None:
    """An Error where sub-folders are called as if not all that they hold were good parts."""
    inside = {name.parts[0] for name in images if len(name.parts) > 1}
    called = {part.lower() for name in images for part in name.parts[:-1]}
    whole = [f"{top}/{GOOD}" if (folder / top / GOOD).is_dir() else top for top in sorted(inside)]
    if datasets := [top for top in sorted(inside) if _is_dataset(folder / top)]:
        raise Error(f"{folder} holds datasets: {', '.join(datasets)}; give one of them, such as {folder / datasets[0]}")
    beside_good = called & _GOODS and (len(inside) > 1 or any(len(name.parts) == 1 for name in images))
    if called & _BADS or beside_good:
        raise Error(
            f"{folder} has the sub-folders {', '.join(whole)}, of which some may hold defects, and everything given "
            f"trains as good; give the folder of good parts alone, or MVTec's layout: train/{GOOD}/*, test/<kind>/*, "
            "ground_truth/<kind>/*_mask.png"
        )
