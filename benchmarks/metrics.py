"""Seconds, memory and error of the metrics, exact and streamed: writes benchmarks/results/metrics.json.

    python -m benchmarks.metrics --note "nothing else ran"

Each run is a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results/metrics.json"


def run(images: int, *options: str) -> dict[str, Any]:
    """One record of `destseg bench metrics`."""
    command = [sys.executable, "-m", "destseg", "bench", "metrics", f"--images={images}", "--json", *options]
    record: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(f"{images} maps {' '.join(options)}: {record['seconds']} s, {record['peak_memory_mb']} MB", flush=True)
    return record


def main() -> None:
    """A set both ways, their difference, and a set that only the streamed way holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="maps of the set that is measured both ways")
    parser.add_argument("--many", type=int, default=100_000, help="maps of the set that is only streamed")
    parser.add_argument("--note", required=True, help="what else ran on the machine")
    chosen = parser.parse_args()
    exact, streamed = run(chosen.images), run(chosen.images, "--streamed")
    streamed["difference"] = {name: value - exact["metrics"][name] for name, value in streamed["metrics"].items()}
    records = [record | {"note": chosen.note} for record in (exact, streamed, run(chosen.many, "--streamed"))]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
