"""Which images of the test set the report shows: the model's worst ones first, then typical ones of each kind."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from destseg.evaluation.scored import Scored

WORST = 6  # images in each of the two groups of worst ones
SHOWN = 24  # images in all


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images shown together, as indices into the test set."""

    title: str
    images: list[int]


def groups(scored: Scored) -> list[Group]:
    """Defect images with the lowest scores, normal images with the highest, and typical ones; no image twice."""
    rising = np.argsort(scored.scores, kind="stable").tolist()
    missed = [index for index in rising if scored.defective[index]][:WORST]
    alarms = [index for index in reversed(rising) if not scored.defective[index]][:WORST]
    typical = _typical(scored, taken={*missed, *alarms})
    titled = {
        "Defect images with the lowest anomaly scores": missed,
        "Normal images with the highest anomaly scores": alarms,
        "Typical images of each kind": typical,
    }
    return [Group(title=title, images=images) for title, images in titled.items() if images]


def file_names(scored: Scored, chosen: list[int]) -> Mapping[int, str]:
    """<kind>-<name>.png for each chosen image, a number added where two would be the same."""
    names: dict[int, str] = {}
    for index in chosen:
        sample = scored.samples[index]
        stem, count = f"{sample.kind}-{sample.path.stem}", 1
        name = f"{stem}.png"
        while name in names.values():
            count += 1
            name = f"{stem}-{count}.png"
        names[index] = name
    return names


def _typical(scored: Scored, taken: set[int]) -> list[int]:
    """From each kind in turn the image whose score is next closest to the kind's median, until SHOWN are taken."""
    queues = []
    for kind in sorted(set(scored.kinds.tolist())):
        members = np.flatnonzero(scored.kinds == kind)
        distance = np.abs(scored.scores[members] - np.median(scored.scores[members]))
        nearest = members[np.argsort(distance, kind="stable")].tolist()
        queues.append([index for index in nearest if index not in taken])
    most = max(map(len, queues), default=0)
    in_turn = [queue[place] for place in range(most) for queue in queues if place < len(queue)]
    chosen = set(in_turn[: SHOWN - len(taken)])
    return [index for queue in queues for index in queue if index in chosen]
