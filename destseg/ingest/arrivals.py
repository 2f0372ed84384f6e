"""What belongs together in the inbox: a photograph, the mask of its defect, the sidecar that says where it was taken.

inbox/<category>/**                            photographs of good parts
inbox/<category>/defects/<kind>/**/NAME.png    a defect, with NAME_mask.png beside it: 255 on the defect, else 0
NAME.json or NAME.png.json, beside either      {"line": ..., "camera": ..., "time": ...}, all of them optional
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from destseg.dataset.layout import GOOD, is_kind
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.storage import s3

INBOX = "inbox/"
_DEFECTS = "defects"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One photograph with what belongs to it; `reason` says why it cannot be used, whatever it holds."""

    photograph: s3.Object
    kind: str = GOOD
    mask: s3.Object | None = None
    sidecar: s3.Object | None = None
    reason: str | None = None

    @property
    def unpaired(self) -> bool:
        """Whether it is a defect that still needs its mask."""
        return self.kind != GOOD and self.mask is None and self.reason is None


def prefix(category: str) -> str:
    """Where photographs of the category arrive in the bucket."""
    return f"{INBOX}{category}/"


def arrivals(objects: Iterable[s3.Object], category: str) -> tuple[list[Arrival], list[s3.Object]]:
    """(what can be judged, masks and sidecars without their photograph), the oldest first.

    Defects without a mask come last: they must not take the places of what can be used.
    """
    known = {item.key: item for item in objects}
    masks = {key for key in known if key.endswith(MASK_SUFFIX) and _folders(key, category)[:1] == [_DEFECTS]}
    sidecars = {key for key in known if key.lower().endswith(".json")}
    found = []
    for key in sorted(known.keys() - masks - sidecars):
        stem = key.removesuffix(PurePosixPath(key).suffix)
        kind, reason = _kind(key, category)
        mask = stem + MASK_SUFFIX if kind != GOOD and stem + MASK_SUFFIX in masks else None
        sidecar = next((name for name in (f"{key}.json", f"{stem}.json") if name in sidecars), None)
        masks.discard(mask or "")
        sidecars.discard(sidecar or "")
        found.append(
            Arrival(
                photograph=known[key],
                kind=kind,
                mask=known[mask] if mask else None,
                sidecar=known[sidecar] if sidecar else None,
                reason=reason,
            )
        )
    found.sort(key=lambda one: (one.unpaired, one.photograph.modified, one.photograph.key))
    return found, sorted((known[key] for key in masks | sidecars), key=lambda item: (item.modified, item.key))


def _folders(key: str, category: str) -> list[str]:
    return key.removeprefix(prefix(category)).split("/")[:-1]


def _kind(key: str, category: str) -> tuple[str, str | None]:
    """(good or the defect type, what is wrong with the place)."""
    folders = _folders(key, category)
    if folders[:1] != [_DEFECTS]:
        misplaced = key.endswith(MASK_SUFFIX)
        reason = f"a mask belongs beside its photograph in {_DEFECTS}/<kind>/" if misplaced else None
        return GOOD, reason
    if len(folders) < 2:
        return GOOD, f"a photograph of a defect belongs in {_DEFECTS}/<kind>/, which says what the defect is"
    if folders[1] == GOOD or not is_kind(folders[1]):
        expected = "1 to 48 of a-z, 0-9, _ and -, the first a letter or digit, and not good"
        return GOOD, f"the folder's name {folders[1][:80]!r} can be no defect type; expected {expected}"
    return folders[1], None
