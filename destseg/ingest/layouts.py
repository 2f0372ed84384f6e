"""Other datasets' layouts as MVTec's: VisA (Zou et al., ECCV 2022) and BTAD (Mishra et al., ISIE 2021).

VisA    Data/Images/Normal/*, Data/Images/Anomaly/*, Data/Masks/Anomaly/<name>.png (0, and a number for each defect);
        ../split_csv/1cls.csv (object, split, label, image, mask) says which normal images test
BTAD    train/ok/*, test/ok/*, test/ko/*, ground_truth/ko/<name>.png or .bmp
"""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from destseg import Error
from destseg.dataset.images import BROKEN, opened
from destseg.dataset.layout import GOOD, IMAGE_SUFFIXES
from destseg.dataset.manifest import MASK_SUFFIX

_VISA, _BTAD = "anomaly", "ko"  # the defect type, where the dataset names none
_VISA_SPLIT, _VISA_TEST = "split_csv/1cls.csv", ("test", "normal")
logger = logging.getLogger(__name__)


def in_folder(folder: Path, category: str) -> Path:
    """Where the category's dataset lies in `folder`: itself, <category> in it, or the only folder there is."""
    while not _known(folder):
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
        named = [path for path in inside if path.name == category]
        if not named and len(inside) != 1:
            names = ", ".join(path.name for path in inside[:20]) or "no folder"
            raise Error(f"no dataset called {category!r} is in it, but {names}; name the category as one of them")
        (folder,) = named or inside
    return folder


def as_mvtec(source: Path, staging: Path) -> Path:
    """`source` if it has MVTec's layout, else `staging`, with links to its images and its masks as 0 and 255."""
    if (source / "Data/Images").is_dir():
        placed = _visa(source / "Data", _visa_tests(source))
    elif (source / "train/ok").is_dir():
        placed = _btad(source)
    else:
        return source
    for name, path in placed:
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("ground_truth/"):
            _write_mask(path, target)
        else:
            target.symlink_to(path.resolve())
    return staging


def _known(folder: Path) -> bool:
    return any((folder / inside).is_dir() for inside in ("train", "Data/Images"))


def _visa_tests(source: Path) -> set[str]:
    """Names of the normal images that test; none without the dataset's table beside its folder."""
    table = source.resolve().parent / _VISA_SPLIT
    if not table.is_file():
        logger.warning("%s is not there: all normal images of %s train, none test", table, source.name)
        return set()
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["object"] == source.name]
            found = {PurePosixPath(row["image"]).name for row in rows if (row["split"], row["label"]) == _VISA_TEST}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise Error(
            f"{table} cannot be read ({error!r}); expected the columns object, split, label and image"
        ) from None
    if not found:
        raise Error(f"{table} has no normal test image of {source.name!r}; expected VisA's own table, or none")
    return found


def _visa(data: Path, tests: set[str]) -> Iterator[tuple[str, Path]]:
    for path in _images(data / "Images/Normal"):
        yield f"{'test' if path.name in tests else 'train'}/{GOOD}/{path.name}", path
    for path in _images(data / "Images/Anomaly"):
        yield f"test/{_VISA}/{path.name}", path
        yield f"ground_truth/{_VISA}/{path.stem}{MASK_SUFFIX}", data / "Masks/Anomaly" / f"{path.stem}.png"


def _btad(source: Path) -> Iterator[tuple[str, Path]]:
    yield from ((f"train/{GOOD}/{path.name}", path) for path in _images(source / "train/ok"))
    yield from ((f"test/{GOOD}/{path.name}", path) for path in _images(source / "test/ok"))
    masks = {path.stem: path for path in _images(source / "ground_truth/ko")}
    for path in _images(source / "test/ko"):
        yield f"test/{_BTAD}/{path.name}", path
        yield f"ground_truth/{_BTAD}/{path.stem}{MASK_SUFFIX}", masks.get(path.stem, path.with_suffix(".missing"))


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]


def _write_mask(source: Path, target: Path) -> None:
    """Every value but 0 as 255; nothing where there is no mask that can be read, which the checks then say."""
    try:
        with opened(source, ("PNG", "BMP")) as mask:
            mask.convert("L").point(lambda value: 255 if value else 0).save(target, "PNG")
    except (*BROKEN, Image.DecompressionBombError):
        return
