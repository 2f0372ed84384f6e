"""What the table of files says of each: its row of the manifest, and what follows from the other rows."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePosixPath

from destseg.dataset.images import MODES
from destseg.dataset.layout import GOOD
from destseg.dataset.manifest import Row, mask_path
from destseg.dataset.splits import SplitSettings, is_calibration
from destseg.validation import exposure
from destseg.validation.likeness import nearest
from destseg.validation.rule import Facts, size
from destseg.validation.settings import ValidationSettings

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
_COLOURS = {"RGB": "RGB"} | dict.fromkeys(("1", "L", "I", "I;16", "I;16B", "I;16L"), "grey")  # a palette may be either
# The table's columns. Text and truth values stay Python objects: a column may hold nothing but None.
OBJECTS = (
    *("path", "split", "kind", "role", "part", "sha256", "format", "suffix_is_format", "mode", "colour", "error"),
    *("duplicate_of", "leak_of", "near_duplicate_of", "pixels", "batch", "partner", "partner_size", "mask"),
    *("twin", "marks_defect", "same_size", "two_values"),
)
NUMBERS = (
    *("width", "height", "short_side", "long_side", "mean", "std", "saturated", "share", "scaled_pixels"),
    *(f"{name}_z" for name in exposure.MEASURES),
)


def facts_of(
    rows: Sequence[Row], split: SplitSettings, settings: ValidationSettings, newest: frozenset[str]
) -> list[Facts]:
    """OBJECTS and NUMBERS of each file, in the manifest's order; `row` is its place in it. None: not known."""
    records = [_own(row, split) | {"row": index} for index, row in enumerate(rows)]
    images = [record for record in records if record["role"] == "image"]
    images.sort(key=lambda record: (record["split"] != "train", record["path"]))  # what train/ holds came first
    sizes = {image["path"]: size(image) for image in images if image["width"] is not None}
    same_bytes: dict[str, str] = {}
    same_mask: dict[str, str] = {}
    for image in images:
        if image["bytes"] and (first := same_bytes.setdefault(image["sha256"], image["path"])) != image["path"]:
            image["duplicate_of"] = first
        if image["partner"] and (first := same_mask.setdefault(image["partner"], image["path"])) != image["path"]:
            image["twin"] = first
    exposure.compare(images, newest)
    if settings.near_duplicate:
        _compare(images, settings.near_duplicate)
    for record in records:
        record["partner_size"] = sizes.get(record["partner"])
    return [dict.fromkeys((*OBJECTS, *NUMBERS)) | record for record in records]


def _compare(images: Sequence[Facts], limit: float) -> None:
    """Enters `leak_of` and `near_duplicate_of`; the same bytes are another finding."""
    shown = [image for image in images if image["thumbnail"] and not image.get("duplicate_of")]
    groups = [int(image["split"] != "train") for image in shown]
    for image, group, near in zip(shown, groups, nearest([i["thumbnail"] for i in shown], groups, limit), strict=True):
        if group in near:
            image["near_duplicate_of"] = shown[near[group]]["path"]
        if group and 0 in near:
            image["leak_of"] = shown[near[0]]["path"]


def _own(row: Row, split: SplitSettings) -> Facts:
    """What the table says of a file by itself."""
    facts: Facts = asdict(row) | {"path": row.name}
    if row.role in ("stranger", "ignored"):
        facts["error"] = None
    if row.width is not None and row.height is not None:
        facts |= {"short_side": min(row.width, row.height), "long_side": max(row.width, row.height)}
    if row.format is not None and row.role == "image":
        facts["suffix_is_format"] = PurePosixPath(row.path).suffix.lower() in _SUFFIXES[row.format]
    if row.role == "mask":
        facts["marks_defect"] = row.partner is not None and row.kind != GOOD
    if row.role != "image":
        return facts
    facts["mask"] = mask_path(row)
    if row.mode is not None and row.mode not in MODES:
        return facts | {"error": None}  # the mode is the finding
    if row.error is None:
        facts["colour"] = _COLOURS.get(row.mode or "")
        facts["pixels"] = size(facts)
        if (row.split, row.kind) == ("train", GOOD):
            facts["part"] = "calibration" if is_calibration(row.sha256, split.calibration_share) else "training"
    return facts
