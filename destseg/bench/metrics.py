"""Seconds and memory of all metrics, overall and per defect type, on made-up maps that look like the network's."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from destseg.bench.machine import Machine, describe, load, peak_memory_mb
from destseg.dataset.layout import GOOD, Sample
from destseg.evaluation.metrics import Metrics
from destseg.evaluation.scored import Scored
from destseg.evaluation.streamed import Streamed
from destseg.model.network import image_scores

BATCH = 50  # maps made at once
REGIONS = 3  # in each defect image, which is every second one
DEFECT_TYPES = 4


@dataclass(frozen=True, kw_only=True)
class MetricsFigures:
    """What was measured, on which machine."""

    machine: Machine
    images: int
    size: int
    regions: int
    streamed: bool
    seconds: float
    """Of the metrics alone: the maps are there already, all or a batch at a time."""
    peak_memory_mb: float
    """Of the whole process, maps and libraries included."""
    metrics: dict[str, float | None]
    by_type: dict[str, dict[str, float | None]]
    best_case: dict[str, float | None] | None
    """Streamed only: no metric of the same maps, not rounded, is higher."""
    load_before: float
    """How many processes ran on the machine in the minute before, on average."""
    numpy: str = np.__version__
    scipy: str = field(default_factory=lambda: str(scipy.__version__))

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value}" for name, value in self.metrics.items())
        return (
            f"{self.machine.processor}, {self.machine.cores} cores, load {self.load_before} before\n"
            f"{self.images} maps of {self.size}x{self.size} with {self.regions} regions"
            f"{', streamed' if self.streamed else ''}: {self.seconds} s, "
            f"{self.peak_memory_mb:.0f} MB at most\n{values}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some images of the test set."""

    kinds: NDArray[np.str_]
    scores: NDArray[np.float64]
    maps: NDArray[np.float32]
    masks: NDArray[np.bool_]


def metrics(*, images: int = 1000, size: int = 256, streamed: bool = False) -> MetricsFigures:
    """All metrics of `images` maps, with all maps in memory, or a batch of them at a time."""
    before = load()
    seconds, overall, by_type, best = (_streamed if streamed else _exact)(images, size)
    return MetricsFigures(
        machine=describe(torch.device("cpu")),
        images=images,
        size=size,
        regions=images // 2 * REGIONS,
        streamed=streamed,
        seconds=round(seconds, 2),
        peak_memory_mb=round(peak_memory_mb()),
        metrics=overall.to_dict(),
        by_type={kind: found.to_dict() for kind, found in by_type.items()},
        best_case=None if best is None else best.to_dict(),
        load_before=before,
    )


def made_up(images: int, size: int) -> Iterator[Batch]:
    """The same images at every call: logits of smooth and of fine noise with blurred ellipses, most of them high and
    some as low as the rest, at a quarter of the size; their sigmoid is enlarged bilinearly, as the network's is."""
    for start in range(0, images, BATCH):
        random = np.random.default_rng(start)
        index = np.arange(start, min(start + BATCH, images))
        kinds = np.where(index % 2 == 0, GOOD, np.char.add("type-", (index // 2 % DEFECT_TYPES).astype(str)))
        distance = _ellipses(random, index.size, size)
        masks = np.asarray((distance <= 1).any(axis=1) & (index % 2 == 1)[:, None, None])
        strength = random.uniform(0, 10, (index.size, REGIONS, 1, 1)) * (index % 2 == 1)[:, None, None, None]
        raised = (strength * np.exp(-(distance[:, :, 2::4, 2::4] ** 2) / 2)).sum(axis=1)
        smooth = torch.from_numpy(random.normal(0, 1.2, (index.size, 1, size // 32, size // 32)))
        noise = interpolate(smooth, size=size // 4, mode="bicubic")[:, 0].numpy() + random.normal(0, 0.3, raised.shape)
        low = torch.from_numpy((raised + noise - 6).astype(np.float32)).sigmoid()[:, None]
        maps = interpolate(low, size=size, mode="bilinear")[:, 0]
        yield Batch(kinds=kinds, scores=image_scores(maps).double().numpy(), maps=maps.numpy(), masks=masks)


def _ellipses(random: np.random.Generator, images: int, size: int) -> NDArray[np.float32]:
    """[N, REGIONS, H, W] distance from the centre of each ellipse, 1 on its line; no two of an image touch."""
    cells = random.permuted(np.tile(np.arange(4), (images, 1)), axis=1)[:, :REGIONS]  # quarters of the image
    radii = random.uniform(size / 64, size / 9, (2, images, REGIONS))
    cell = np.stack([cells // 2, cells % 2]) * size / 2
    centre = cell + random.uniform(radii + 1, size / 2 - 2 - radii)
    y, x = (
        ((np.arange(size) - centre[axis, :, :, None]) / radii[axis, :, :, None]).astype(np.float32) for axis in (0, 1)
    )
    return np.asarray(np.sqrt(y[..., :, None] ** 2 + x[..., None, :] ** 2), dtype=np.float32)


def _exact(images: int, size: int) -> tuple[float, Metrics, dict[str, Metrics], None]:
    maps, masks = np.empty((images, size, size), dtype=np.float32), np.empty((images, size, size), dtype=np.bool_)
    scores, samples, filled = np.empty(images), list[Sample](), 0
    for batch in made_up(images, size):
        part = slice(filled, filled + len(batch.kinds))
        maps[part], masks[part], scores[part] = batch.maps, batch.masks, batch.scores
        samples += [Sample(path=Path(), split="test", kind=kind) for kind in batch.kinds.tolist()]
        filled = part.stop
    start = time.perf_counter()
    scored = Scored(samples=samples, scores=scores, maps=maps, masks=masks)
    overall, by_type = scored.metrics(), {kind: scored.metrics_of(kind) for kind in scored.defect_types}
    return time.perf_counter() - start, overall, by_type, None


def _streamed(images: int, size: int) -> tuple[float, Metrics, dict[str, Metrics], Metrics]:
    streamed, seconds = Streamed(), 0.0
    for batch in made_up(images, size):
        start = time.perf_counter()
        streamed.add(batch.kinds, batch.scores, batch.maps, batch.masks)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    overall, by_type = streamed.metrics(), {kind: streamed.metrics_of(kind) for kind in streamed.defect_types}
    return seconds + time.perf_counter() - start, overall, by_type, streamed.best_case()
