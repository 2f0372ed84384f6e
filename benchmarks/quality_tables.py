"""The tables of docs/quality.md, from results/quality.json: `python -m benchmarks.quality_tables` prints them."""

import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from benchmarks.quality import METRICS, RESULTS

HEADS = ("image AUROC", "pixel AUROC", "pixel AP", "IAP", "IAP@90", "PRO")
Record = dict[str, Any]


def tables(records: Sequence[Record]) -> str:
    """One Markdown table: a row for each group, data set and teacher; with several seeds, mean ± standard deviation."""
    head = ["runs", "data", "teacher", "seeds", *HEADS, "minutes"]
    lines = [_line(head), _line(["---"] * len(head))]
    return "\n".join([*lines, *(_line(row) for row in _rows(records))])


def _rows(records: Sequence[Record]) -> Iterator[list[str]]:
    for (name, dataset, teacher), group in groupby(records, key=lambda r: (r["name"], r["dataset"], r["teacher"])):
        runs = list(group)
        numbers = [_spread([run[metric] for run in runs]) for metric in METRICS]
        slowest = max(run["minutes"] for run in runs)
        yield [name, dataset.replace("_", " "), teacher, str(len(runs)), *numbers, f"{slowest:.1f}"]


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(tables(json.loads(RESULTS.read_text(encoding="utf-8"))))
