"""docs/inbox.md shows what was measured."""

import json
from pathlib import Path

from benchmarks import ingest

GUIDE = Path(__file__).parents[2] / "docs" / "inbox.md"


def test_the_guide_shows_the_record() -> None:
    record = json.loads(ingest.RESULTS.read_text(encoding="utf-8"))
    assert [row["images"] for row in record["rows"]] == [1000, 3000, 10000]
    assert ingest.table(record) in GUIDE.read_text(encoding="utf-8")
    assert record["note"] in GUIDE.read_text(encoding="utf-8")
