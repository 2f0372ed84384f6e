"""What a busy process beside it costs a training step of compact, by how long OpenMP's threads spin: prints a table.

    python -m benchmarks.busy                  # 2 processor cores: some 3 minutes, most of them in the slow case

Threads that wait for the others of an operation spin before they sleep. Beside a process that takes a core they would
spin for one that does not run. GNU's library reads GOMP_SPINCOUNT at its start, so each measurement is a process of its
own: with the value of destseg/tuning.py, and with the library's own; alone, and beside `while True: pass`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destseg.tuning import SPINS, tune_process

# libgomp's env.c: "3 msec blocking when OMP_WAIT_POLICY is not specified". Said, so that no OMP_WAIT_POLICY changes it.
DEFAULT_SPINS = 300_000
WARM_UP = 2  # steps


def main() -> None:
    """Measures in turns and prints markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2, help="processes of each kind, in turns")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of each stage in each process")
    parser.add_argument("--batch", type=int, default=8, help="images a step")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "auto"), default="auto")
    parser.add_argument("--step-seconds", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step_seconds:
        print(json.dumps(step_seconds(chosen.steps, chosen.batch, chosen.precision)))
        return
    found: dict[tuple[int, bool], list[float]] = {}
    for _ in range(chosen.rounds):
        for spins in (SPINS, DEFAULT_SPINS):
            for beside in (False, True):
                found.setdefault((spins, beside), []).extend(measured(spins, beside))
    print(table({key: statistics.median(seconds) for key, seconds in found.items()}))


def measured(spins: int, beside: bool) -> list[float]:
    """Seconds of each step in a process of its own; `beside`: with a busy one next to it."""
    environment = os.environ | {"GOMP_SPINCOUNT": str(spins)}
    command = [sys.executable, "-m", "benchmarks.busy", *sys.argv[1:], "--step-seconds"]
    print(f"GOMP_SPINCOUNT={spins}, {'beside a busy process' if beside else 'alone'}", file=sys.stderr, flush=True)
    with busy(beside):
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: list[float] = json.loads(done.stdout)
    return found


@contextmanager
def busy(wanted: bool) -> Iterator[subprocess.Popen[bytes] | None]:
    """A process that takes a core for as long as the context lives."""
    if not wanted:
        yield None
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def step_seconds(steps: int, batch: int, precision: str) -> list[float]:
    """Wall time of a step of both stages of compact, `steps` times."""
    tune_process()
    import torch  # after the tuning, which it reads

    from destseg.bench.machine import timed
    from destseg.bench.naive import write_pictures
    from destseg.bench.stages import WIDTHS, pictures, stages

    device = torch.device("cpu")
    with tempfile.TemporaryDirectory(prefix="destseg-busy-") as folder:
        write_pictures(Path(folder))
        source = pictures(Path(folder), 256, device)
    made = [make() for make in stages("compact", source, batch=batch, width=WIDTHS["compact"], precision=precision)]  # type: ignore[arg-type]  # argparse checks it

    def step() -> None:
        for training in made:
            training.step(training.synthesis.batch(batch))

    return [timed(step, device) for _ in range(WARM_UP + steps)][WARM_UP:]


def table(found: dict[tuple[int, bool], float]) -> str:
    """Markdown of the median seconds by spins, alone and beside a busy process."""
    lines = ["| GOMP_SPINCOUNT | alone, s a step of both stages | beside a busy process | ratio |", "|---|---|---|---|"]
    for spins, name in ((SPINS, "destseg/tuning.py"), (DEFAULT_SPINS, "the library's own")):
        alone, beside = found[spins, False], found[spins, True]
        lines.append(f"| {spins}, {name} | {alone:.3f} | {beside:.3f} | {beside / alone:.2f}x |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
