"""One batch of the inbox becomes the category's next dataset version. The git push is the commit point.

Before it nothing that others see has changed but unreferenced objects in the DVC remote; after it the inbox is only
tidied up. So a run that is killed anywhere is followed by one that ends in the same dataset version.
"""

import logging
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from destseg import Error
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import dataset_dir
from destseg.ingest import inbox, provenance, quarantine
from destseg.ingest.inbox import Photograph
from destseg.settings import PARAMS, read_section
from destseg.storage import s3, versions
from destseg.validation.settings import ValidationSettings

logger = logging.getLogger(__name__)

_ATTEMPTS = 5  # batches redone because another ingest of the same category was faster
_TELLING = 3  # of fewer photographs, a share of rejects says nothing about the camera
_PUSHES = 20  # of one batch, when ingests of other categories push to the same branch


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """When a batch is taken, and what of it."""

    min_batch: int = 1
    """Fewer new photographs than this wait in the inbox for more."""
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
        reasons = [f"  {key}: {reason}" for key, reason in sorted(self.reasons.items())]
        return "\n".join([f"{self.category}: {counts}; {version}", *reasons])


@dataclass(frozen=True, kw_only=True)
class _Verdicts:
    accepted: dict[str, list[Photograph]]  # by SHA-256: the same photograph may have come under several keys
    rejected: list[Photograph]
    duplicates: list[Photograph]


def ingest(category: str, *, root: Path, bucket: str, settings: IngestSettings) -> BatchResult:
    """Make a dataset version of what waits in the inbox, in `root`, a clean clone, and push it; then tidy the inbox."""
    dataset_dir(category)
    if not inbox.waiting(bucket, category):
        logger.info("nothing waits in s3://%s/%s", bucket, inbox.prefix(category))
        return BatchResult(category=category)
    versions.update(root)
    for _ in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(dir=_scratch(root), prefix="inbox-") as folder:
            listed = inbox.waiting(bucket, category)
            taken = listed[: settings.max_batch]
            verdicts = _judge(category, root, bucket, taken, Path(folder), settings)
            enough = len(verdicts.accepted) >= settings.min_batch
            if enough and not _publish(category, root, verdicts):
                logger.info("%s: another run was faster; doing the batch again on top of its version", category)
                continue
        _tidy(category, bucket, verdicts, accepted=enough)
        return BatchResult(
            category=category,
            accepted=len(verdicts.accepted) if enough else 0,
            rejected=len(verdicts.rejected),
            duplicates=len(verdicts.duplicates),
            waiting=len(listed) - len(taken) + (0 if enough else len(verdicts.accepted)),
            reasons={photograph.key: photograph.reason or "" for photograph in verdicts.rejected},
            dataset_version=versions.dataset_version(root, category) if enough else None,
            commit=versions.head(root) if enough else None,
        )
    raise Error(f"other runs changed {category} during each of {_ATTEMPTS} attempts; the inbox is as it was, run again")


def _scratch(root: Path) -> Path:
    """A folder of the clone that git and DVC ignore, on the file system of the dataset."""
    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _judge(
    category: str, root: Path, bucket: str, taken: list[s3.Object], folder: Path, settings: IngestSettings
) -> _Verdicts:
    """Sort the batch into new, unusable and known; an Error when too much of it is unusable."""
    params = root / PARAMS
    bit_depth = read_section("image", ImageSettings, category=category, path=params).bit_depth
    limits = read_section("validation", ValidationSettings, category=category, path=params)
    listing = versions.listing(root, category)
    known, names = set(listing.values()), dict.fromkeys(listing, "")
    accepted: dict[str, list[Photograph]] = defaultdict(list)
    rejected, duplicates = [], []
    for photograph in inbox.read(
        bucket, taken, folder=folder, max_bytes=settings.max_bytes, bit_depth=bit_depth, limits=limits
    ):
        if photograph.reason is not None:
            rejected.append(photograph)
        elif photograph.md5 in known:
            duplicates.append(photograph)
        elif names.setdefault(_name(photograph), photograph.sha256) != photograph.sha256:
            # 64 equal bits of SHA-256 come about by intent only; no image may take the place of another.
            rejected.append(replace(photograph, reason=f"its name would be {_name(photograph)}, another image's"))
        else:
            accepted[photograph.sha256].append(photograph)
    # The share is of all that was listed: what another run has just taken away was usable more often than not.
    if len(taken) >= _TELLING and len(rejected) > settings.max_reject_share * len(taken):
        reasons = "; ".join(sorted({photograph.reason or "" for photograph in rejected})[:3])
        raise Error(
            f"{len(rejected)} of {len(taken)} photographs in s3://{bucket}/{inbox.prefix(category)} are unusable "
            f"({reasons}), expected at most {settings.max_reject_share:.0%}; the inbox is as it was: look at the "
            f"camera and remove what is wrong, or raise ingest.max_reject_share in params.yaml"
        )
    duplicates += [again for same in accepted.values() for again in same[1:]]
    return _Verdicts(accepted=dict(accepted), rejected=rejected, duplicates=duplicates)


def _name(photograph: Photograph) -> str:
    return f"train/good/{photograph.sha256[:16]}{photograph.suffix}"


def _publish(category: str, root: Path, verdicts: _Verdicts) -> bool:
    """Version, push the data, commit, push the commit; False when another run has changed the dataset meanwhile."""
    before = versions.dataset_version(root, category)
    dataset = dataset_dir(category, root)
    pulled = dataset.exists()
    try:
        _add(category, root, verdicts.accepted)
    finally:
        if not pulled:  # a dataset that was not pulled into this clone still is not
            shutil.rmtree(dataset, ignore_errors=True)
    after = versions.dataset_version(root, category)
    versions.dvc(root, "push", versions.pointer(category).as_posix(), log=logger.info)
    paths = [versions.pointer(category), provenance.path(category)]
    versions.commit(root, paths, _message(category, verdicts, before, after))
    for _ in range(_PUSHES):
        if versions.push(root):
            return True
        if not versions.replay(root):
            return False
    raise Error(f"the push of {category} lost against others {_PUSHES} times; the inbox is as it was, run again")


def _add(category: str, root: Path, accepted: dict[str, list[Photograph]]) -> None:
    """Add the files to the dataset version: DVC needs its list of files for that, none of the old files."""
    records, targets = provenance.read(root, category), []
    for same in accepted.values():
        first = same[0]
        assert first.file is not None
        target = dataset_dir(category, root) / _name(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        first.file.replace(target)
        targets.append(target.relative_to(root).as_posix())
        keys = sorted(photograph.key for photograph in same)
        about = {"etag": first.etag, "modified": first.modified, "size": first.size}
        records.append({"sha256": first.sha256, "name": _name(first), "keys": keys, **about})
    logger.info("%s: adding %d photographs to the dataset", category, len(targets))
    versions.dvc(root, "add", *sorted(targets), log=logger.info)
    provenance.write(root, category, records)


def _message(category: str, verdicts: _Verdicts, before: str, after: str) -> str:
    counts = f"{len(verdicts.rejected)} rejected, {len(verdicts.duplicates)} duplicates"
    hashes = "\n".join(f"  {sha256[:16]}" for sha256 in sorted(verdicts.accepted))
    return (
        f"{category}: {len(verdicts.accepted)} new photographs\n\n"
        f"Dataset version {after}, before {before}; {counts}.\nNew:\n{hashes}\n"
    )


def _tidy(category: str, bucket: str, verdicts: _Verdicts, *, accepted: bool) -> None:
    """Take out of the inbox what has been dealt with, the unusable first: a repetition must never see only those."""
    for photograph in verdicts.rejected:
        quarantine.put(bucket, category, photograph)
    done = [photograph for same in verdicts.accepted.values() for photograph in same] if accepted else []
    for photograph in [*done, *verdicts.duplicates]:
        s3.delete_if_unchanged(bucket, photograph.key, photograph.etag)
