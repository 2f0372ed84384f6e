"""Photographs of the demo's products: one image, an MVTec-format category, a batch as a line delivers it."""

import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_closing, binary_fill_holes, label

from destseg import Error
from destseg.dataset.demo import fabric, fabric_damage, washer, washer_damage
from destseg.dataset.demo.camera import Camera
from destseg.dataset.demo.field import UNITS, Field
from destseg.dataset.layout import GOOD

logger = logging.getLogger(__name__)

CATEGORIES = ("washer", "fabric")
DEFECTS: dict[str, tuple[str, ...]] = {
    "washer": tuple(washer_damage.KINDS),
    "fabric": tuple(fabric_damage.KINDS),
}
_SCENES: dict[str, Callable[[np.random.Generator, int, str, np.random.Generator], Field]] = {
    "washer": washer.scene,
    "fabric": fabric.scene,
}
_GAPS = {"washer": 4.0, "fabric": 6.0}
"""Gaps in a mask, in units, that still belong to the defect: in cloth, what is left between the threads it moved."""
VISIBLE = 4.0
"""Grey levels, before noise, from which a pixel counts as changed; less is below the sensor's noise."""
SPECK = 16.0
"""Square units below which a lone region, such as the last trace of a displaced thread, is left unchanged."""
SMALLEST = 32
"""Pixels a side below which nothing of a product can be made out."""
REPORT_SECONDS = 5.0


def render_image(
    category: str, *, seed: int = 0, split: str, kind: str, index: int, size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 RGB [size, size, 3], bool [size, size]): one photograph and the pixels that its defect changed.

    Outside the mask it equals, bit for bit, the photograph of the same part without the defect.
    """
    camera, clean, damaged = exposures(category, seed=seed, split=split, kind=kind, index=index, size=size)
    if kind == GOOD:
        return camera.develop(clean), np.zeros((size, size), bool)
    mask = _changed(clean, damaged, _GAPS[category])
    return camera.develop(np.where(mask[..., None], damaged, clean)), mask


def exposures(
    category: str, *, seed: int = 0, split: str, kind: str, index: int, size: int = 256
) -> tuple[Camera, Field, Field]:
    """The camera, and what it sees of the part without and with its defect; `camera.develop` makes photographs."""
    _check(category, kind)
    if size < SMALLEST:
        raise Error(f"the demo was asked for pictures of {size} pixels a side, expected {SMALLEST} or more")
    key = f"{seed}/{category}/{split}/{kind}/{index}"
    streams = np.random.SeedSequence(int.from_bytes(hashlib.sha256(key.encode()).digest())).spawn(3)
    camera = Camera.draw(np.random.default_rng(streams[0]))

    def exposed(what: str) -> Field:
        scene = _SCENES[category](np.random.default_rng(streams[1]), size, what, np.random.default_rng(streams[2]))
        return camera.expose(scene)

    clean = exposed(GOOD)
    return camera, clean, clean if kind == GOOD else exposed(kind)


def _changed(clean: Field, damaged: Field, gap: float) -> np.ndarray:
    """bool [size, size]: where the two differ visibly, closed over gaps of `gap` units, without lone specks."""
    mask = np.abs(damaged - clean).max(axis=2) > VISIBLE
    reach = max(1, round(gap / 2 * len(mask) / UNITS))
    padded = np.pad(mask, 2 * reach)  # closing at the picture's border would otherwise eat into it
    closed = binary_closing(padded, np.ones((2 * reach + 1, 2 * reach + 1), bool))
    regions, _ = label(binary_fill_holes(closed)[2 * reach : -2 * reach, 2 * reach : -2 * reach])
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    return np.asarray((areas >= min(SPECK * (len(mask) / UNITS) ** 2, areas.max()))[regions] & (regions > 0))


def render_dataset(
    directory: Path,
    category: str,
    *,
    seed: int = 0,
    normals: int = 60,
    test_normals: int = 20,
    defects_per_kind: int = 6,
    size: int = 256,
) -> int:
    """Writes an MVTec-format category to `directory`, whole or not at all; the number of images (masks not counted).

    An image depends on the seed and its own name only: another count changes none that was there before.
    """
    _check(category, GOOD)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Error(
            f"{directory} is not empty; expected a new folder for the rendered {category} dataset, delete it first"
        )
    wanted = [("train", GOOD, index) for index in range(normals)]
    wanted += [("test", GOOD, index) for index in range(test_normals)]
    wanted += [("test", kind, index) for kind in DEFECTS[category] for index in range(defects_per_kind)]
    directory.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))

    def write(split: str, kind: str, index: int) -> None:
        image, mask = render_image(category, seed=seed, split=split, kind=kind, index=index, size=size)
        _save(image, building / split / kind / f"{index:03}.png")
        if kind != GOOD:
            _save(mask.astype(np.uint8) * np.uint8(255), building / "ground_truth" / kind / f"{index:03}_mask.png")

    try:
        _in_parallel(f"rendering {category}", write, wanted)
        building.chmod(0o755)  # mkdtemp's folders are closed to others
        building.replace(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return len(wanted)


def render_batch(directory: Path, category: str, *, seed: int = 0, count: int = 24, size: int = 256) -> list[Path]:
    """Adds `count` photographs of good parts, none of them in the dataset, and five files that no one can use.

    Those are truncated.png (half of a PNG), lens_cap.png (all black), not_an_image.png (text), transparent.png (RGBA),
    and duplicate.png (byte for byte the first photograph). Returns all paths, the usable ones first.
    """
    _check(category, GOOD)
    if count < 1:
        raise Error(f"a batch of {count} photographs was asked for, expected at least 1")
    directory.mkdir(parents=True, exist_ok=True)

    def photograph(index: int) -> np.ndarray:
        return render_image(category, seed=seed, split="incoming", kind=GOOD, index=index, size=size)[0]

    good = [directory / f"{category}_{index:04}.png" for index in range(count)]
    _in_parallel(f"photographing {category}", lambda i: _save(photograph(i), good[i]), [(i,) for i in range(count)])
    spare = photograph(count)
    whole = good[0].read_bytes()
    unusable = {
        "truncated.png": whole[: len(whole) // 2],
        "not_an_image.png": b"The camera's log file, saved under the wrong name.\n",
        "duplicate.png": whole,
    }
    for name, content in unusable.items():
        _write(directory / name, content)
    _save(np.zeros_like(spare), directory / "lens_cap.png")
    _save(np.dstack([spare, np.full(spare.shape[:2], 200, np.uint8)]), directory / "transparent.png")
    return good + [directory / name for name in (*unusable, "lens_cap.png", "transparent.png")]


def _in_parallel(what: str, work: Callable[..., None], calls: Iterable[tuple[object, ...]]) -> None:
    """Runs `work` on all cores (numpy, scipy and Pillow release the GIL) and logs how far it is."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(work, *call) for call in calls]
        reported = time.monotonic()
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if time.monotonic() - reported > REPORT_SECONDS or done == len(futures):
                    logger.info("%s: %d of %d images", what, done, len(futures))
                    reported = time.monotonic()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    Image.fromarray(pixels).save(part, format="PNG", compress_level=2)
    part.replace(path)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _check(category: str, kind: str) -> None:
    if category not in CATEGORIES:
        raise Error(f"category {category!r} has no demo, expected one of {', '.join(CATEGORIES)}")
    if kind != GOOD and kind not in DEFECTS[category]:
        raise Error(f"{category} has no kind {kind!r}, expected {GOOD} or one of {', '.join(DEFECTS[category])}")
