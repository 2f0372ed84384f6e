"""`python -m flows.<name> --category NAME`: a flow in this process, its result as one line of JSON on stdout."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.registry.connection import tracking_uri


def run_here(flow: Callable[[str], dict[str, Any]]) -> None:
    """Runs `flow` for the category named on the command line: with the server of PREFECT_API_URL, or one of its own."""
    parser = argparse.ArgumentParser(description=flow.__doc__)
    parser.add_argument("--category", required=True, help="name of the category in params.yaml")
    # A run works in a clone that is removed at its end: the registry's default must not lie in there.
    os.environ.setdefault("MLFLOW_TRACKING_URI", tracking_uri())
    try:
        result = flow(check_category(parser.parse_args().category))
    except Error as error:  # its traceback is in the flow run's log
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(json.dumps(result, sort_keys=True, default=str) + "\n")
