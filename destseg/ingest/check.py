"""Whether a folder is a dataset in MVTec's layout: every mistake in it, found before anything is copied."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

from destseg import Error
from destseg.dataset.images import MASK_FORMATS, WORKERS, ImageError, check_single, decode, opened, readable
from destseg.dataset.layout import GOOD, IMAGE_SUFFIXES

logger = logging.getLogger(__name__)

_SHOWN = 40  # mistakes listed in one error
_UNREADABLE = (0, 0)


def files(source: Path, bit_depth: int) -> list[str]:
    """Names of the images and masks below `source`, sorted; an Error with every mistake in it."""
    if not source.is_dir():
        raise Error(
            f"{source} is no folder; expected one with train/{GOOD}, and test and ground_truth if there are defects"
        )
    found, mistakes = _layout(source)
    mistakes += _unreadable(source, found, bit_depth)
    if mistakes:
        rest = [f"and {len(mistakes) - _SHOWN} more"] if len(mistakes) > _SHOWN else []
        listed = "".join(f"\n  {line}" for line in [*mistakes[:_SHOWN], *rest])
        raise Error(f"{source} has {len(mistakes)} mistake(s); put them right and repeat the command:{listed}")
    return found


def present(source: Path) -> Iterator[PurePath]:
    """Every file below `source` that is meant for the dataset, right or wrong, by its name there."""
    for top in ("train", "test", "ground_truth"):
        for path in sorted((source / top).rglob("*")):
            if not (path.is_dir() or path.name.startswith(".") or path.name == "Thumbs.db"):
                yield path.relative_to(source)


def shared_names(files: Iterable[str]) -> list[str]:
    """What is wrong with test images that have their name in common, but for the suffix."""
    stems = Counter(str(Path(name).with_suffix("")) for name in files if name.startswith("test/"))
    return [f"{stem}.*: {n} images share this name, and so a mask" for stem, n in sorted(stems.items()) if n > 1]


def _layout(source: Path) -> tuple[list[str], list[str]]:
    """(files, mistakes): what lies where MVTec's layout has it, and what is wrong or missing there."""
    files, mistakes = [], []
    for name in present(source):
        top = name.parts[0]
        if len(name.parts) != 3:
            mistakes.append(f"{name}: expected {top}/<kind>/<file>")
        elif name.suffix.lower() not in IMAGE_SUFFIXES:
            mistakes.append(f"{name}: expected an image ({', '.join(sorted(IMAGE_SUFFIXES))})")
        elif top == "train" and name.parts[1] != GOOD:
            mistakes.append(f"{name}: only train/{GOOD} trains; defects belong in test/{name.parts[1]}")
        else:
            files.append(name.as_posix())
    if not any(name.startswith("train/") for name in files):
        mistakes.insert(0, f"train/{GOOD} has no images; expected photographs of good parts, 20 and more")
    masks = {name for name in files if name.startswith("ground_truth/")}
    expected = {
        _mask(name): name for name in files if name.startswith("test/") and not name.startswith(f"test/{GOOD}/")
    }
    mistakes += [f"{expected[mask]}: its mask {mask} does not exist" for mask in sorted(expected.keys() - masks)]
    mistakes += [f"{mask}: no image in test belongs to this mask" for mask in sorted(masks - expected.keys())]
    mistakes += shared_names(files)
    return files, mistakes


def _mask(name: str) -> str:
    _, kind, file = name.split("/")
    return f"ground_truth/{kind}/{Path(file).stem}_mask.png"


def _unreadable(source: Path, files: list[str], bit_depth: int) -> Iterator[str]:
    """What is wrong inside the files: not decodable, a mask of another size than its image, or with nothing in it."""
    told, sizes = time.monotonic(), {}

    def look(name: str) -> tuple[tuple[int, int], str | None]:
        path = source / name
        try:
            if name.startswith("ground_truth/"):
                with readable(f"{name}:", "an 8-bit PNG, 0 and 255"), opened(path, MASK_FORMATS) as mask:
                    check_single(mask, f"{name}:")
                    empty = not any(mask.convert("L").histogram()[128:])
                    return mask.size, f"{name}: the mask marks nothing; expected 255 on the defect" if empty else None
            return decode(path, bit_depth=bit_depth).size, None
        except ImageError as error:
            return _UNREADABLE, str(error).replace(str(path), f"{name}:", 1)

    with ThreadPoolExecutor(WORKERS) as pool:
        for done, (name, (size, mistake)) in enumerate(zip(files, pool.map(look, files), strict=True), start=1):
            sizes[name] = size
            if mistake:
                yield mistake
            if time.monotonic() - told > 5:
                told = time.monotonic()
                logger.info("%d of %d files checked", done, len(files))
    for name, size in sizes.items():
        mask = _mask(name) if name.startswith("test/") else ""
        if mask in sizes and _UNREADABLE not in (size, sizes[mask]) and size != sizes[mask]:
            yield f"{mask}: has {sizes[mask][0]}x{sizes[mask][1]} pixels, its image {size[0]}x{size[1]}"
