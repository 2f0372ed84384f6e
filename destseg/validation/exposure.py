"""Brightness and sharpness of each good part beside those of the version before: one image apart, or a whole batch."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from destseg.dataset import provenance
from destseg.dataset.layout import GOOD
from destseg.dataset.provenance import Record

Facts = dict[str, Any]
LEAST = 20  # images from which a distribution is taken
NEWEST = "newest"
BATCH = 5  # images from which a batch has a median of its own
_MAD = 1.4826  # makes the median absolute deviation that of a normal distribution
# What is measured, from a file's facts, and the least deviation that is held against it.
MEASURES: dict[str, tuple[Callable[[Facts], float], float]] = {
    "brightness": (lambda facts: float(facts["mean"]), 1.0),
    "sharpness": (lambda facts: math.log(1 + float(facts["sharpness"])), 0.05),
}


def compare(images: Sequence[Facts], newest: frozenset[str]) -> None:
    """Enters `brightness_z` and `sharpness_z` of each good part: its distance from the median in robust deviations.

    `newest` has the SHA-256s of the batch that came last. Its images, when there are BATCH of them in train/good and
    LEAST others, have NEWEST as their `batch` and are held against the others, as is everything else. Without enough
    others all of train/good is what each is held against.
    """
    good = [facts for facts in images if facts["kind"] == GOOD and facts["mean"] is not None and not facts["error"]]
    trained = [facts for facts in good if facts["split"] == "train"]
    batch = [facts for facts in trained if facts["sha256"] in newest]
    before = [facts for facts in trained if facts["sha256"] not in newest]
    has_batch = len(batch) >= BATCH and len(before) >= LEAST
    known = before if has_batch else trained
    if len(known) < LEAST:
        return
    for name, (value, least) in MEASURES.items():
        values = [value(facts) for facts in known]
        middle = median(values)
        deviation = max(_MAD * median(abs(one - middle) for one in values), least)
        for facts in good:
            facts[f"{name}_z"] = (value(facts) - middle) / deviation
    for facts in batch if has_batch else []:
        facts["batch"] = NEWEST


def newest(records: Sequence[Record], listed: frozenset[str]) -> frozenset[str]:
    """SHA-256s of the images of `listed` that came last, by the provenance; none when all came with the first version.

    A version has no number: the last is the one whose images reached the inbox last.
    """
    known = provenance.from_inbox(record for record in records if record["sha256"] in listed)
    last = max(known, key=lambda record: str(record.get("modified")), default={}).get("version")
    return frozenset(record["sha256"] for record in known if record.get("version") == last)
