"""Every row of docs/reliability.md names a test that exists, and no row is without one."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in (ROOT / "docs/reliability.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.endswith("| test |")
]


@pytest.mark.parametrize("row", ROWS, ids=[row[2:60] for row in ROWS])
def test_a_row_names_a_test_that_exists(row: str) -> None:
    named = re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row)
    assert named, row
    file, name = named.groups()
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_rows() -> None:
    assert len(ROWS) > 20
