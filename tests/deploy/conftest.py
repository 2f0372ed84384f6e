from pathlib import Path

import pytest

from .guarded import Clone, guarded


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone of a repository with code and a dataset; the server knows `ingest` as restricted."""
    return guarded(tmp_path)
