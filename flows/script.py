"""`python -m flows.<name>`: a flow in this process, its result as one line of JSON on stdout."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from destseg import Error
from destseg.registry.connection import tracking_uri


def run_here(flow: Callable[..., dict[str, Any]]) -> None:
    """Runs `flow` with the arguments of the command line: with the server of PREFECT_API_URL, or one of its own."""
    # A run works in a clone that is removed at its end: the registry's default must not lie in there.
    os.environ.setdefault("MLFLOW_TRACKING_URI", tracking_uri())
    try:
        result = flow(**vars(_parser(flow).parse_args()))
    except Error as error:  # its traceback is in the flow run's log
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(json.dumps(result, sort_keys=True, default=str) + "\n")


def _parser(flow: Callable[..., dict[str, Any]]) -> argparse.ArgumentParser:
    """An option for each parameter of the flow; Prefect checks their values."""
    parser = argparse.ArgumentParser(description=flow.__doc__)
    for name, parameter in inspect.signature(flow).parameters.items():
        option = f"--{name.replace('_', '-')}"
        if parameter.default is inspect.Parameter.empty:
            parser.add_argument(option, required=True)
        elif parameter.default is False:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, default=parameter.default)
    return parser
