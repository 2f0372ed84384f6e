"""`python -m destseg.bench train|infer|metrics`: the benchmark where only torch is installed. See `destseg bench`."""

import argparse
import dataclasses
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any, get_args

from destseg import Error
from destseg.bench.infer import infer
from destseg.bench.metrics import metrics
from destseg.bench.train import train
from destseg.model.device import device
from destseg.model.student import Network
from destseg.tuning import tune_process

BENCHES: dict[str, Callable[..., Any]] = {"train": train, "infer": infer, "metrics": metrics}


def main() -> None:
    """Runs one of the benches; an option that is not given keeps the bench's own default."""
    tune_process()
    parser = argparse.ArgumentParser(prog="python -m destseg.bench", description=__doc__)
    parser.add_argument("bench", choices=BENCHES)
    parser.add_argument("--device", help="cpu, cuda, cuda:1; the first GPU unless given (train, infer)")
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    for name, text in (
        ("size", "side of the images in pixels"),
        ("batch", "images at once (train, infer)"),
        ("width", "channels of the segmentation net; 256, of compact 48 (train, infer)"),
        ("images", "normal images (train), maps in all (metrics)"),
        ("steps", "timed steps of each stage (train)"),
        ("workers", "processes of the naive loop's loader (train, paper)"),
    ):
        parser.add_argument(f"--{name}", type=int, default=argparse.SUPPRESS, help=text)
    parser.add_argument(
        "--network", choices=get_args(Network), default=argparse.SUPPRESS, help="paper unless given (train, infer)"
    )
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default=argparse.SUPPRESS, help="(infer, paper)"
    )
    for name, text in (
        ("alone", "without the naive loop, or for compact without the paper's network (train)"),
        ("paper", "the paper's 5,000 steps too (train, paper)"),
        ("streamed", "maps in batches (metrics)"),
    ):
        parser.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text)
    options = vars(parser.parse_args())
    bench, as_json, on = (options.pop(name) for name in ("bench", "json", "device"))
    if unknown := options.keys() - inspect.signature(BENCHES[bench]).parameters.keys():
        parser.error(f"{bench} has no option --{min(unknown)}")
    try:
        result = BENCHES[bench](**options) if bench == "metrics" else BENCHES[bench](device(on), **options)
    except (Error, ValueError) as error:  # the latter from settings
        sys.exit(f"destseg.bench: {error}")
    print(json.dumps(dataclasses.asdict(result), sort_keys=True) if as_json else result)


if __name__ == "__main__":
    main()
