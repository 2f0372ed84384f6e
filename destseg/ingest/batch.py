"""One batch of the inbox becomes the category's next dataset version. The git push is the commit point.

Before it nothing that others see has changed but unreferenced objects in the DVC remote; after it the inbox is only
tidied up. So a run that is killed anywhere is followed by one that ends in the same dataset version.
"""

import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import dataset_dir
from destseg.ingest import inbox, quarantine
from destseg.ingest.arrivals import arrivals, prefix
from destseg.ingest.inbox import Photograph
from destseg.ingest.publish import ATTEMPTS, publish
from destseg.ingest.verdicts import Verdicts, judged
from destseg.settings import PARAMS, read_section
from destseg.storage import s3, versions
from destseg.text import printable
from destseg.validation.settings import ValidationSettings

logger = logging.getLogger(__name__)

_TELLING = 3  # of fewer photographs, a share of rejects says nothing about the camera


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """When a batch is taken, and what of it."""

    min_batch: int = 1
    """Fewer new photographs than this wait in the inbox for more, up to `max_wait_hours`."""
    max_wait_hours: float = 24.0
    """When the oldest photograph has waited this long, the batch is taken whatever its size."""
    mask_wait_hours: float = 72.0
    """A defect without its mask, or a mask or sidecar without its photograph, goes to quarantine after this."""
    max_batch: int = 500
    """Objects taken at once, the oldest first; more wait for the next run (DVC adds them one by one)."""
    max_bytes: int = 64_000_000
    """Larger files go to quarantine unread."""
    max_reject_share: float = 0.5
    """With a larger share of unusable photographs the batch stops: then it is the camera that needs a look."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.max_batch:
            raise ValueError(f"min_batch is {self.min_batch}, expected 1 to max_batch, {self.max_batch}")
        if self.max_bytes < 1 or not 0 <= self.max_reject_share <= 1:
            raise ValueError(
                f"max_bytes is {self.max_bytes}, expected 1 or more; "
                f"max_reject_share is {self.max_reject_share}, expected 0 to 1"
            )
        if min(self.max_wait_hours, self.mask_wait_hours) < 0:
            raise ValueError(
                f"max_wait_hours is {self.max_wait_hours}, mask_wait_hours {self.mask_wait_hours}, expected 0 or more"
            )


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch; `reasons` has the rejected keys, the last two fields are None without a new version."""

    category: str
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    waiting: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    dataset_version: str | None = None
    commit: str | None = None

    def __str__(self) -> str:
        counts = f"{self.accepted} accepted, {self.rejected} rejected, {self.duplicates} known, {self.waiting} waiting"
        version = f"dataset version {self.dataset_version}" if self.dataset_version else "no new dataset version"
        reasons = [f"  {printable(key)}: {printable(reason)}" for key, reason in sorted(self.reasons.items())]
        return "\n".join([f"{self.category}: {counts}; {version}", *reasons])


def ingest(category: str, *, root: Path, bucket: str, settings: IngestSettings) -> BatchResult:
    """Make a dataset version of what waits in the inbox, in `root`, a clean clone, and push it; then tidy the inbox."""
    dataset_dir(category)
    if not inbox.waiting(bucket, category):
        logger.info("nothing waits in s3://%s/%s", bucket, prefix(category))
        return BatchResult(category=category)
    versions.update(root)
    for _ in range(ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=_scratch(root), prefix="inbox-") as folder:
            verdicts = _judge(category, root, bucket, Path(folder), settings)
            enough = len(verdicts.accepted) >= settings.min_batch or verdicts.waited >= settings.max_wait_hours
            if not enough:
                verdicts = verdicts.postponed()
            before = versions.head(root)
            if not _publish(category, root, verdicts):
                continue
        _tidy(category, bucket, verdicts)
        rejected = [*verdicts.rejected, *verdicts.strays]
        return BatchResult(
            category=category,
            accepted=len(verdicts.accepted),
            rejected=len(rejected),
            duplicates=len(verdicts.duplicates),
            waiting=verdicts.later + len(verdicts.pending),
            reasons={part.key: part.reason or "" for part in rejected},
            dataset_version=versions.dataset_version(root, category) if verdicts.accepted else None,
            commit=versions.head(root) if versions.head(root) != before else None,
        )
    raise Error(f"other runs changed {category} during each of {ATTEMPTS} attempts; the inbox is as it was, run again")


def _scratch(root: Path) -> Path:
    """A folder of the clone that git and DVC ignore, on the file system of the dataset."""
    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _judge(category: str, root: Path, bucket: str, folder: Path, settings: IngestSettings) -> Verdicts:
    """Sort the batch into new, unusable and known; an Error when too much of it is unusable."""
    params = root / PARAMS
    found, alone = arrivals(inbox.waiting(bucket, category), category)
    taken = found[: settings.max_batch]
    photographs = inbox.read(
        bucket,
        taken,
        folder=folder,
        max_bytes=settings.max_bytes,
        bit_depth=read_section("image", ImageSettings, category=category, path=params).bit_depth,
        limits=read_section("validation", ValidationSettings, category=category, path=params),
    )
    late, alone = inbox.late_sidecars(bucket, alone, provenance.read(root, category))
    verdicts = judged(photographs, alone, versions.listing(root, category), settings.mask_wait_hours)
    verdicts.late = late
    verdicts.later += len(found) - len(taken)
    rejected = verdicts.rejected
    # The share is of all that was listed: what another run has just taken away was usable more often than not.
    if len(taken) >= _TELLING and len(rejected) > settings.max_reject_share * len(taken):
        reasons = "; ".join(sorted({photograph.reason or "" for photograph in rejected})[:3])
        raise Error(
            f"{len(rejected)} of {len(taken)} photographs in s3://{bucket}/{prefix(category)} are unusable "
            f"({reasons}), expected at most {settings.max_reject_share:.0%}; the inbox is as it was: look at the "
            f"camera and remove what is wrong, or raise ingest.max_reject_share in params.yaml"
        )
    return verdicts


def _publish(category: str, root: Path, verdicts: Verdicts) -> bool:
    """Version, push the data, commit, push the commit; False when another run has changed the dataset meanwhile.

    Does nothing where there is neither a new photograph nor anything new of a known one.
    """
    before = versions.dataset_version(root, category)
    known = provenance.read(root, category)
    if verdicts.accepted:
        _place(category, root, verdicts.accepted)
    after = versions.dataset_version(root, category)
    grown = provenance.with_new(known, (photograph.record for photograph in verdicts.accepted.values()), after)
    records = provenance.with_keys(grown, (photograph.record for photograph in verdicts.duplicates))
    records = provenance.with_about(records, verdicts.told())
    if records == known:
        return True
    provenance.write(root, category, records)
    return publish(root, category, _message(category, verdicts, before, after))


def _place(category: str, root: Path, accepted: dict[str, Photograph]) -> None:
    """Add the files to the dataset version: DVC needs its list of files for that, none of the old files."""
    dataset = dataset_dir(category, root)
    pulled, names = dataset.exists(), list[str]()
    try:
        for photograph in accepted.values():
            for name, part in photograph.files().items():
                target = dataset / name
                target.parent.mkdir(parents=True, exist_ok=True)
                assert part.file is not None
                shutil.copyfile(part.file, target)
                names.append(name)
        logger.info("%s: adding %d files to the dataset", category, len(names))
        versions.add(root, category, sorted(names))
    finally:
        if not pulled:  # a dataset that was not pulled into this clone still is not
            shutil.rmtree(dataset, ignore_errors=True)


def _message(category: str, verdicts: Verdicts, before: str, after: str) -> str:
    defects = sum(photograph.mask is not None for photograph in verdicts.accepted.values())
    new = f"{len(verdicts.accepted)} new photographs" + (f", {defects} of them with defects" if defects else "")
    counts = f"{len(verdicts.rejected)} rejected, {len(verdicts.duplicates)} duplicates"
    if not verdicts.accepted:
        return (
            f"{category}: new keys or sidecars of known photographs\n\nDataset version {before} as before; {counts}.\n"
        )
    hashes = "\n".join(f"  {sha256[:16]}" for sha256 in sorted(verdicts.accepted))
    return f"{category}: {new}\n\nDataset version {after}, before {before}; {counts}.\nNew:\n{hashes}\n"


def _tidy(category: str, bucket: str, verdicts: Verdicts) -> None:
    """Take out of the inbox what has been dealt with, the unusable first: a repetition must never see only those."""
    for part in [*verdicts.rejected, *verdicts.strays]:
        quarantine.put(bucket, category, part)
    for sidecar in verdicts.late:
        if sidecar.reason:
            quarantine.put(bucket, category, sidecar)
        else:
            s3.delete_if_unchanged(bucket, sidecar.key, sidecar.etag)
    for part in verdicts.pending:
        if quarantine.put_before(bucket, category, part):  # by a run that was killed before it had deleted all
            s3.delete_if_unchanged(bucket, part.key, part.etag)
    for photograph in verdicts.done():
        if photograph.sidecar and photograph.sidecar.reason:
            quarantine.put(bucket, category, photograph.sidecar)
        for part in photograph.parts:
            s3.delete_if_unchanged(bucket, part.key, part.etag)
