"""What the verbs share: their common arguments, and how a result is printed."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from destseg.settings import check_listed

Category = Annotated[str, typer.Argument(help="Name of the category in params.yaml.", show_default=False)]

Listed = Annotated[
    str, typer.Argument(help="Name of the category in params.yaml.", show_default=False, callback=check_listed)
]
"""A category that params.yaml must have: refused at once, before what takes seconds to load."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON on stdout.")]
Precision = Literal["float32", "bfloat16", "auto"]


def show_result(result: Any, as_json: bool) -> None:
    """A frozen dataclass as one line of JSON, or as the sentence that its __str__ gives."""
    if as_json:
        print_json(result.to_dict() if hasattr(result, "to_dict") else dataclasses.asdict(result))
    else:
        print(result)


def print_json(content: dict[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(content, default=str, sort_keys=True), flush=True)
