"""`python -m flows.<name> --category NAME`: a flow in this process, its result as one line of JSON on stdout."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from destseg import Error
from destseg.dataset.layout import check_category


def run_here(flow: Callable[[str], dict[str, Any]]) -> None:
    """Runs `flow` for the category named on the command line: with the server of PREFECT_API_URL, or one of its own."""
    parser = argparse.ArgumentParser(description=flow.__doc__)
    parser.add_argument("--category", required=True, help="name of the category in params.yaml")
    try:
        result = flow(check_category(parser.parse_args().category))
    except Error as error:
        sys.exit(f"{error}")  # its traceback is in the flow run's log
    sys.stdout.write(json.dumps(result, sort_keys=True, default=str) + "\n")
