"""What `destseg try` makes of the folder that it is given, before it looks into any file."""

import shutil
from pathlib import Path

import pytest

from destseg import Error
from destseg.trial.photographs import Photographs, category_of, opened

from .conftest import dataset, normals, photograph


def found(folder: Path) -> Photographs:
    with opened(folder, "bolt", folder.parent) as photographs:
        return photographs


def test_a_plain_folder_trains_with_all_its_images_those_of_sub_folders_too(tmp_path: Path) -> None:
    for name in ("b.JPG", "early/a.png", "early/late/a.png", "early-a.png"):
        photograph(tmp_path / "bolts" / Path(name).with_suffix(".png"), 0).rename(tmp_path / "bolts" / name)
    photographs = found(tmp_path / "bolts")
    assert photographs.files == {
        "train/good/b.JPG": tmp_path / "bolts/b.JPG",
        "train/good/early-a.png": tmp_path / "bolts/early/a.png",
        "train/good/early-a-2.png": tmp_path / "bolts/early-a.png",
        "train/good/early-late-a.png": tmp_path / "bolts/early/late/a.png",
    }


def test_what_is_not_an_image_is_left_out_and_named_but_for_the_systems_own_files(tmp_path: Path) -> None:
    photograph(tmp_path / "bolts/a.png", 0)
    for name in ("notes.txt", "a.heic", "Thumbs.db", ".DS_Store"):
        (tmp_path / "bolts" / name).touch()
    assert found(tmp_path / "bolts").left_out == ("a.heic", "notes.txt")


def test_a_dataset_keeps_its_names_with_all_that_lies_where_a_dataset_has_it(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "bolts")
    (folder / "license.txt").touch()
    (folder / "train/good/notes.txt").touch()
    names = set(found(folder).files)
    assert {"train/good/000.png", "test/dent/0.png", "ground_truth/dent/0_mask.png", "train/good/notes.txt"} <= names
    assert "license.txt" not in names


def test_layouts_and_archives_that_dataset_add_reads_are_read(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "bolts")
    expected = set(found(folder).files)
    archive = Path(shutil.make_archive(str(tmp_path / "bolts-archive"), "zip", tmp_path, "bolts"))
    assert set(found(archive).files) == expected
    normals(tmp_path / "ok/train/ok")
    photographs = found(tmp_path / "ok")
    assert set(photographs.files) == {f"train/good/{number:03}.png" for number in range(24)}


def test_an_archive_of_photographs_alone_is_read_as_a_plain_folder(tmp_path: Path) -> None:
    normals(tmp_path / "bolts")
    archive = Path(shutil.make_archive(str(tmp_path / "delivery"), "gztar", tmp_path, "bolts"))
    photographs = found(archive)
    assert photographs.folder == str(archive)
    assert len(photographs.files) == 24


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["good/a.png", "scratch/a.png"], "good, scratch, of which some may hold defects"),
        (["good/a.png", "a.png"], "the sub-folders good, of which some may hold defects"),
        (["line 1/NG/a.png", "line 1/b.png"], "everything given trains as good; give the folder of good parts alone"),
        (["test/a.png"], "MVTec's layout: train/good"),
        (["bolt/train/good/a.png", "nut/train/good/a.png"], "holds datasets: bolt, nut; give one of them, such as "),
    ],
)
def test_sub_folders_that_may_hold_defects_are_refused(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        photograph(tmp_path / "parts" / name, 0)
    with pytest.raises(Error, match=said):
        found(tmp_path / "parts")


def test_a_folder_without_images_says_what_it_holds_instead(tmp_path: Path) -> None:
    (tmp_path / "bolts").mkdir()
    with pytest.raises(Error, match=r"bolts holds no image; expected photographs of good parts that end in .*\.bmp"):
        found(tmp_path / "bolts")
    (tmp_path / "bolts/a.heic").touch()
    with pytest.raises(Error, match=r"bolts holds no image, only files with \.heic; expected"):
        found(tmp_path / "bolts")
    with pytest.raises(Error, match="nuts does not exist; expected a folder"):
        found(tmp_path / "nuts")


@pytest.mark.parametrize(
    ("folder", "category"),
    [("bolt", "bolt"), ("M8 Bolts (v1.2)", "m8-bolts-v1-2"), ("_Ärger_", "rger"), ("x" * 60, "x" * 48)],
)
def test_the_category_is_called_after_the_folder(tmp_path: Path, folder: str, category: str) -> None:
    (tmp_path / folder).mkdir()
    assert category_of(tmp_path / folder) == category


@pytest.mark.parametrize("folder", ["ネジ", "bolt-log"])
def test_a_folder_that_no_category_can_be_called_after_asks_for_a_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    with pytest.raises(Error, match="choose a name with --name"):
        category_of(tmp_path / folder)


def test_an_archive_gives_its_name_without_what_says_that_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "bolt.tar.xz").touch()
    assert category_of(tmp_path / "bolt.tar.xz") == "bolt"
