"""What becomes of each photograph of a batch: new, unusable, known, or waiting for its mask."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from destseg.dataset.layout import GOOD
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.ingest.inbox import LateSidecar, Part, Photograph
from destseg.storage import s3


@dataclass(kw_only=True)
class Verdicts:
    """A batch, sorted. Each object of the inbox is or belongs to one in these lists, or is counted in `later`."""

    accepted: dict[str, Photograph] = field(default_factory=dict)
    """By SHA-256."""
    rejected: list[Photograph] = field(default_factory=list)
    strays: list[Part] = field(default_factory=list)
    """Masks and sidecars whose photograph never came, to quarantine as well."""
    duplicates: list[Photograph] = field(default_factory=list)
    """Known to the dataset, or the same as one that is accepted."""
    late: list[LateSidecar] = field(default_factory=list)
    """Of photographs that the dataset has."""
    pending: list[Part] = field(default_factory=list)
    """Defects that wait for their mask, masks and sidecars that wait for their photograph."""
    later: int = 0
    """Photographs that wait for another batch."""

    @property
    def waited(self) -> float:
        """Hours since the oldest accepted photograph came."""
        return max((hours(photograph) for photograph in self.accepted.values()), default=0.0)

    def told(self) -> dict[str, dict[str, str]]:
        """What sidecars say of photographs that the dataset has, by SHA-256."""
        found: dict[str, dict[str, str]] = {}
        said = [(one.photograph, one.about) for one in self.late if one.reason is None]
        for sha256, about in [*said, *((one.sha256, one.about) for one in self.duplicates)]:
            found[sha256] = about | found.get(sha256, {})
        return found

    def done(self) -> list[Photograph]:
        """What the inbox loses once the version is pushed."""
        return [*self.accepted.values(), *self.duplicates]

    def postponed(self) -> "Verdicts":
        """The same without what is new, which waits for more, and without its duplicates in the batch."""
        again = [photograph for photograph in self.duplicates if photograph.sha256 in self.accepted]
        known = [photograph for photograph in self.duplicates if photograph.sha256 not in self.accepted]
        return replace(self, accepted={}, duplicates=known, later=self.later + len(self.accepted) + len(again))


def hours(part: Part) -> float:
    """Hours since it came into the inbox, by the clock of this machine."""
    return (datetime.now(UTC) - datetime.fromisoformat(part.modified)).total_seconds() / 3600


def judged(
    photographs: Iterable[Photograph], alone: Sequence[s3.Object], listing: Mapping[str, str], mask_wait: float
) -> Verdicts:
    """The photographs against each other and against the dataset (`listing`: MD5 of each file by its name).

    `alone` are masks and sidecars without their photograph; `mask_wait`, in hours, is how long they and a defect
    without its mask may wait.
    """
    verdicts, same = Verdicts(), defaultdict(list)
    names = {md5: name for name, md5 in listing.items() if not name.startswith("ground_truth/")}
    for photograph in photographs:
        if photograph.reason is not None:
            verdicts.rejected.append(photograph)
        elif name := names.get(photograph.md5):
            _known(verdicts, photograph, name, listing)
        else:
            same[photograph.sha256].append(photograph)
    places: dict[str, str] = dict.fromkeys(listing, "")
    for found in same.values():
        _new(verdicts, found, places, mask_wait)
    for item in alone:
        part = Part(key=item.key, etag=item.etag, size=item.size, modified=item.modified.isoformat())
        if hours(part) < mask_wait:
            verdicts.pending.append(part)
        else:
            kind = "mask" if part.key.endswith(MASK_SUFFIX) else "sidecar"
            reason = f"the {kind} of a photograph that did not come within {mask_wait:g} hours"
            verdicts.strays.append(replace(part, reason=f"{reason} (ingest.mask_wait_hours)"))
    return verdicts


def _known(verdicts: Verdicts, photograph: Photograph, name: str, listing: Mapping[str, str]) -> None:
    kind, mask = name.split("/")[1], photograph.mask
    stem = name.removeprefix(f"test/{kind}/").rpartition(".")[0]
    if kind != photograph.kind:
        reason = f"the same photograph is in the dataset as {name}; it cannot be {photograph.kind} as well"
    elif mask and listing.get(f"ground_truth/{kind}/{stem}{MASK_SUFFIX}") != mask.md5:
        reason = f"the same photograph is in the dataset as {name} with another mask; remove it there first"
    else:
        verdicts.duplicates.append(photograph)
        return
    verdicts.rejected.append(replace(photograph, reason=reason))


def _new(verdicts: Verdicts, same: list[Photograph], places: dict[str, str], mask_wait: float) -> None:
    """`same`: the photographs of one content; `places`: SHA-256 by name in the dataset, to which theirs is added."""
    ready = [photograph for photograph in same if photograph.kind == GOOD or photograph.mask]
    first = ready[0] if ready else same[0]
    if len({photograph.kind for photograph in same}) > 1:
        kinds = " and as ".join(sorted({photograph.kind for photograph in same}))
        reason = f"the same photograph came as {kinds}; send it once, as what it is"
    elif len({photograph.mask.md5 for photograph in ready if photograph.mask}) > 1:
        reason = "the same photograph came with different masks; send it once, with the right one"
    elif not ready and hours(first) >= mask_wait:
        stem = first.key.rpartition(".")[0]
        reason = f"no mask came within {mask_wait:g} hours, expected {stem}{MASK_SUFFIX} (ingest.mask_wait_hours)"
    elif not ready:
        verdicts.pending += same
        return
    elif any(places.setdefault(name, first.sha256) != first.sha256 for name in first.files()):
        # 64 equal bits of SHA-256 come about by intent only; no image may take the place of another.
        reason = f"its name would be {first.name}, another image's"
    else:
        verdicts.accepted[first.sha256] = first
        verdicts.duplicates += [photograph for photograph in same if photograph is not first]
        return
    verdicts.rejected += [replace(photograph, reason=reason) for photograph in same]
