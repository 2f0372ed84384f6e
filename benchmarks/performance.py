"""Speed and memory of training and inference on this machine: prints a table, adds to results/performance.json.

    python -m benchmarks.performance                          # 2 processor cores: some 15 minutes
    python -m benchmarks.performance --device cuda --batch 32 --workers 16 --paper

First the paper's network beside the published loop, then compact beside the paper's network. Needs torch and this
package's torch-only rooms alone; exported files are measured where onnxruntime is installed. Each measurement is a
process of its own, so that its peak memory is its own. A record replaces that of the same device, processor and
precision.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from destseg.bench import compact_infer, compact_train

RESULTS = Path(__file__).parent / "results" / "performance.json"
MEMORY = ["--alone", "--images", "240", "--batch", "16", "--steps", "1"]
COMPACT = ["--network", "compact"]
Record = dict[str, Any]


def bench(*arguments: str) -> Record:
    """One record of `python -m destseg.bench`."""
    print(f"python -m destseg.bench {' '.join(arguments)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "destseg.bench", *arguments, "--json"]
    found: Record = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def table(record: Record) -> str:
    """Markdown: a row for each stage and each way of scoring; compact's tables, where it was measured, below."""
    train, memory = record["train"], record["memory"]
    machine = train["machine"]
    lines = [
        f"{machine['device']}, {machine['processor']}, {machine['cores']} cores, torch {machine['torch']}, "
        f"{machine['date']}; {train['size']}x{train['size']}, {train['precision']}, matrix product "
        f"{train['peak_gflops']:.0f} GFLOP/s",
        "",
        "| | images/s (slowest to fastest) | naive | ratio | GFLOP an image | of the peak | outside arithmetic |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [(f"stage {stage}, batch {train['batch']}", train[f"stage{stage}"]) for stage in (1, 2)]
    rows += [(f"inference, {found['precision']}, batch {found['batch']}", found) for found in record["infer"]]
    for name, found in rows:
        low, high = found["spread"]
        rate, naive = f"{found['images_per_s']} ({low} to {high})", found["naive_images_per_s"]
        outside = f"{found['outside_arithmetic']:.1%}" if "outside_arithmetic" in found else ""
        cells = [name, rate, naive, f"{found['ratio']}x", found["gflop_per_image"], f"{found['fraction_of_peak']:.0%}"]
        lines.append(f"| {' | '.join(map(str, [*cells, outside]))} |")
    lines += ["", f"Peak memory, {memory['images']} images, batch {memory['batch']}: {memory['peak_memory_mb']} MB."]
    for found in record["infer"]:
        error = f"score {found['score_error']:.1e}, pixel {found['map_error']:.1e}"
        name = f"{found['precision']}, batch {found['batch']}: {found['milliseconds']} ms a batch"
        lines.append(f"Inference, {name}; largest difference from float32: {error}.")
    if train["paper_s"] is not None:
        lines.append(f"The paper's 1,000 + 4,000 steps of {train['batch']}: {train['paper_s']} s.")
    return "\n".join([*lines, *(compact(record["compact"]) if "compact" in record else [])])


def compact(found: Record) -> list[str]:
    """Markdown: compact beside the paper's network."""
    machine, memory = found["train"]["machine"], found["memory"]
    lines = [
        "",
        f"Compact beside the paper's network: {machine['device']}, {machine['processor']}, {machine['cores']} cores, "
        f"torch {machine['torch']}, {machine['date']}",
    ]
    for part in (compact_train.markdown(found["train"]), *map(compact_infer.markdown, found["infer"])):
        lines += ["", *part]
    return [
        *lines,
        "",
        f"Peak memory, {memory['images']} images, batch {memory['batch']}: {memory['peak_memory_mb']} MB.",
    ]


def same(one: Record, other: Record) -> bool:
    """Whether both are of one kind of machine and one precision."""

    def kind(record: Record) -> tuple[str, ...]:
        machine = record["train"]["machine"]
        return machine["device"], machine["processor"], machine["cores"], record["train"]["precision"]

    return kind(one) == kind(other)


def main() -> None:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, cuda, cuda:1; the first GPU unless given")
    parser.add_argument("--batch", type=int, default=8, help="images a step, and the larger batch of inference")
    parser.add_argument("--workers", type=int, default=0, help="processes of the naive loop's loader")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each stage")
    parser.add_argument("--paper", action="store_true", help="run the paper's 5,000 steps too")
    parser.add_argument("--note", default="", help="what else ran on the machine")
    parser.add_argument("--markdown", action="store_true", help="print the recorded tables, measure nothing")
    chosen = parser.parse_args()
    if chosen.markdown:
        print("\n\n".join(map(table, json.loads(RESULTS.read_text("utf-8")))))
        return
    device = ["--device", chosen.device] if chosen.device else []
    batch = ["--batch", str(chosen.batch)]
    paper = ["--paper"] if chosen.paper else []
    train = bench("train", *device, *batch, f"--workers={chosen.workers}", f"--steps={chosen.steps}", *paper)
    record = {
        "note": chosen.note,
        "train": train,
        "memory": bench("train", *device, *MEMORY),
        "infer": [bench("infer", *device, "--batch", "1"), bench("infer", *device, *batch)],
        "compact": {
            "train": bench("train", *COMPACT, *device, *batch, f"--steps={chosen.steps}"),
            "memory": bench("train", *COMPACT, *device, *MEMORY),
            "infer": [bench("infer", *COMPACT, *device, "--batch", size) for size in ("1", str(chosen.batch))],
        },
    }
    kept = [old for old in json.loads(RESULTS.read_text("utf-8")) if not same(old, record)] if RESULTS.exists() else []
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([*kept, record], indent=1) + "\n", encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
