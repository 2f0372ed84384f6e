"""`destseg predict` on files and on folders: which images it scores, in which order, and what it says of the rest."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from destseg import Error
from destseg.evaluation.predict import photographs, predict

from ..packages import photograph, write_package


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("model"), np.random.default_rng(1)
    return write_package(folder / "package", [photograph(folder / f"{number}.png", rng) for number in range(3)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs, one in a sub-folder, beside what is not a photograph."""
    rng = np.random.default_rng(2)
    for name in ("b.png", "a.PNG", "night shift/c.png"):
        photograph(tmp_path / "photos" / name, rng)
    for name in ("notes.txt", "night shift/c.xmp", ".DS_Store", ".thumbnails/a.png"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_text("x")
    return tmp_path / "photos"


def test_a_folders_images_are_scored_sorted_with_those_of_its_sub_folders(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    lines = list(predict(model, [folder], tmp_path / "heatmaps"))
    names = [Path(line["image"]).relative_to(folder).as_posix() for line in lines]
    assert names == ["a.PNG", "b.png", "night shift/c.png"]
    assert [Path(line["heatmap"]).name for line in lines] == ["000-a.png", "001-b.png", "002-c.png"]
    assert all(Path(line["heatmap"]).is_file() for line in lines)
    written = (tmp_path / "heatmaps/scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == lines


def test_files_and_folders_may_be_mixed_in_the_order_in_which_they_are_given(folder: Path, tmp_path: Path) -> None:
    alone = photograph(tmp_path / "z.png", np.random.default_rng(3))
    assert photographs([alone, folder]) == [alone, folder / "a.PNG", folder / "b.png", folder / "night shift/c.png"]


def test_what_is_not_an_image_by_its_suffix_is_named_once_in_one_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        photographs([folder])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"not images by their suffix, and left out: {folder}/night shift/c.xmp, {folder}/notes.txt"
    )


def test_of_many_files_that_are_not_images_five_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(9):
        (folder / f"{number}.log").write_text("x")
    photographs([folder])
    assert caplog.records[0].getMessage().endswith("4.log and 6 more")


def test_the_heatmaps_of_an_earlier_run_inside_the_folder_are_not_scored(model: Path, folder: Path) -> None:
    first = list(predict(model, [folder], folder / "heatmaps"))
    again = list(predict(model, [folder], folder / "heatmaps"))
    assert again == first


@pytest.mark.parametrize(("name", "held"), [(None, ""), ("notes.txt", ", only files with .txt")])
def test_a_folder_without_images_is_an_error(tmp_path: Path, name: str | None, held: str) -> None:
    if name:
        (tmp_path / name).write_text("x")
    with pytest.raises(
        Error, match=re.escape(f"{tmp_path} holds no image{held}; expected files that end in one of .bmp")
    ):
        photographs([tmp_path])


def test_the_command_line_prints_a_line_for_each_image_and_loads_neither_mlflow_nor_dvc(
    model: Path, folder: Path
) -> None:
    code = (
        "import sys; from destseg.cli import app; app(['predict', *sys.argv[1:]], standalone_mode=False); "
        "print(sorted({'mlflow', 'dvc', 'boto3', 'prefect', 'great_expectations'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), str(folder)], capture_output=True, text=True, check=True
    )
    *lines, loaded = done.stdout.splitlines()
    assert [Path(json.loads(line)["image"]).name for line in lines] == ["a.PNG", "b.png", "c.png"]
    assert loaded == "[]"
    assert done.stderr.count("\n") == 1
    assert "notes.txt" in done.stderr
