"""docs/deploy.md shows what was measured of the review page."""

import json
from pathlib import Path

from benchmarks import review

GUIDE = Path(__file__).parents[2] / "docs" / "deploy.md"


def test_the_guide_shows_the_record() -> None:
    record = json.loads(review.RESULTS.read_text(encoding="utf-8"))
    assert record["row"]["categories"] == 200
    assert review.table(record) in GUIDE.read_text(encoding="utf-8")
