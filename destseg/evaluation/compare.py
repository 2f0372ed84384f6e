"""Challenger and champion, both evaluated anew on one acceptance set: what a person decides by."""

import datetime
import logging
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from destseg import __version__
from destseg.dataset.layout import GALLERY, GOOD
from destseg.evaluation.acceptance import Acceptance, acceptance
from destseg.evaluation.measured import Measured, measure
from destseg.evaluation.paired import Comparison, Difference, compare
from destseg.evaluation.pictures import Gallery
from destseg.model.device import device
from destseg.model.machine import sentence

METRICS = ("image_auroc", "pixel_ap")  # of which there is an interval of the difference
log = logging.getLogger(__name__)


def compute(
    category: str,
    challenger: Path,
    champion: Path | None,
    into: Path,
    *,
    root: Path = Path(),
) -> dict[str, Any]:
    """Compares two packages on the dataset in `root`; returns what comparison.json holds of it.

    challenger.npz, champion.npz and gallery.zip are written into the existing folder `into`. Neither model's code runs.
    """
    with (
        tempfile.TemporaryDirectory() as made,
        zipfile.ZipFile(into / GALLERY, "w", zipfile.ZIP_STORED) as archive,
    ):
        found, gallery = acceptance(category, Path(made), root), Gallery(archive=archive)
        defects = sum(sample.kind != GOOD for sample in found.samples)
        log.info(
            "comparing on %d good and %d %sdefect images",
            len(found.samples) - defects,
            defects,
            "synthetic " if found.synthetic else "",
        )
        after = measure(challenger, "challenger", found.samples, gallery)
        before = None if champion is None else measure(champion, "champion", found.samples, gallery)
    after.summary.save(into / "challenger.npz")
    if before is not None:
        before.summary.save(into / "champion.npz")
    return {
        "category": category,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "destseg": __version__,
        "machine": sentence(device()),
        "synthetic": found.synthetic,
        "kinds": _counts(found),
        "challenger": after.to_dict(),
        "champion": None if before is None else before.to_dict(),
        **_compared(before, after, synthetic=found.synthetic),
        "images": _images(before, after),
        **after.points.to_dict(),
    }


def _counts(found: Acceptance) -> dict[str, int]:
    """Images of each kind, the good ones first."""
    kinds = [sample.kind for sample in found.samples]
    return {kind: kinds.count(kind) for kind in [GOOD, *sorted({*kinds} - {GOOD})]}


def _compared(before: Measured | None, after: Measured, *, synthetic: bool) -> dict[str, Any]:
    found = None if before is None else compare(before.summary, after.summary)
    verdicts = None if found is None else found.verdicts
    lists = ("better", "worse", "newly_missed", "newly_caught")
    return {
        "differences": {} if found is None else {name: _interval(getattr(found, name)) for name in METRICS},
        "verdict": verdict(found, after) + (" (synthetic defects)" if synthetic else ""),
        **{name: [] if verdicts is None else list(getattr(verdicts, name)) for name in lists},
        "newly_rejected": [] if verdicts is None else list(verdicts.good.newly_rejected),
        "newly_accepted": [] if verdicts is None else list(verdicts.good.newly_accepted),
    }


def verdict(found: Comparison | None, after: Measured) -> str:
    """The comparison in a sentence."""
    if found is not None:
        return str(found)
    escapes, alarms = after.rates.escapes, after.rates.false_rejects
    if after.summary.calibration is None:
        return "no verdicts: the model has no threshold; there is no champion yet"
    caught = (
        "no defects" if escapes is None else f"catches {escapes.images - escapes.count} of {escapes.images} defects"
    )
    rejects = "no good images"
    if alarms is not None:
        rejects = f"{alarms.count} of {alarms.images} good images falsely rejected"
    return f"{caught}, {rejects}; there is no champion yet"


def _interval(difference: Difference | None) -> dict[str, float] | None:
    return None if difference is None else vars(difference)


def _images(before: Measured | None, after: Measured) -> list[dict[str, Any]]:
    """A row for each image, in the order of the gallery's folders."""
    summary = after.summary
    former = [None] * len(summary.names) if before is None else before.verdicts()
    names = zip(summary.names.tolist(), summary.kinds.tolist(), summary.sha256s.tolist(), strict=True)
    return [
        {"name": name, "kind": kind, "sha256": sha256, "challenger": challenger, "champion": champion}
        for (name, kind, sha256), challenger, champion in zip(names, after.verdicts(), former, strict=True)
    ]
