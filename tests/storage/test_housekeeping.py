"""What is removed from $DESTSEG_CACHE: what is old and nobody's."""

import os
import time
from pathlib import Path

import pytest

from destseg import Error
from destseg.dataset.remembered import remembered
from destseg.storage.housekeeping import DAY, Swept, sweep_checkpoints, sweep_contents, sweep_models
from destseg.storage.memo import held

CODE = Path(__file__)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path))
    return tmp_path


def put(path: Path, *, days: float, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_states_that_are_old_and_nobodys_go(cache: Path) -> None:
    folder = cache / "checkpoints"
    put(folder / "old.pt", days=15)
    put(folder / "young.pt", days=13)
    taken = put(folder / "taken.pt", days=15)
    half = put(folder / ".killed.pt-abc/killed.pt", days=15, size=5).parent
    age(half, 15)
    writing = put(folder / ".young.pt-abc/young.pt", days=0).parent
    age(writing, 15)
    with held(taken) as mine:
        assert mine
        assert sweep_checkpoints() == Swept(removed=2, bytes=15, kept=3)
    assert names(folder) == {"young.pt", "taken.pt", ".young.pt-abc"}
    assert not (folder / "old.pt.lock").exists()
    assert sweep_checkpoints(days=1).removed == 2
    assert names(folder) == {".young.pt-abc"}


def test_memos_that_nobody_reads_go(cache: Path) -> None:
    with remembered("contents", CODE) as known:
        known.put("a", {"width": 1})
    (own,) = (cache / "contents").glob("*.sqlite")
    age(own, 15)
    with remembered("contents", CODE) as known:  # only reads
        assert known.get("a") == {"width": 1}
    put(cache / "contents/old.sqlite", days=15)
    put(cache / "contents/old.sqlite-journal", days=15)
    assert sweep_contents() == Swept(removed=1, bytes=10, kept=1)
    assert names(cache / "contents") == {own.name}


@pytest.mark.usefixtures("cache")
def test_an_empty_cache_is_swept_too() -> None:
    assert sweep_checkpoints() == sweep_contents() == Swept()
    assert str(sweep_contents()) == "0 removed (0.0 MB), 0 kept"


def test_days_below_nothing_are_refused(cache: Path) -> None:
    with pytest.raises(Error, match="days is -1, expected 0 or more"):
        sweep_contents(days=-1)
    assert list(cache.iterdir()) == []


def test_old_copies_of_models_and_comparisons_go(cache: Path) -> None:
    for name in ("models", "comparisons"):
        for folder, days in (("old", 15), ("young", 13)):
            put(cache / name / folder / "file", days=days)
            age(cache / name / folder, days)
    assert sweep_models() == Swept(removed=2, bytes=20, kept=2)
    assert names(cache / "models") == names(cache / "comparisons") == {"young"}
