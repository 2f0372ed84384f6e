"""The contact sheet: a few small pictures of what came to the dataset, and of nothing else."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg.evaluation.pictures import SHEET, SIDE, Gallery, add_contact_sheet
from destseg.files import sha256

DATA = Path("data/mvtec/plate")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text("categories: {plate: {}}\n")
    return tmp_path


def photograph(root: Path, name: str, shade: int = 0, size: tuple[int, int] = (8, 6)) -> str:
    """A file of the dataset, all of one shade of grey; its SHA-256."""
    path = root / DATA / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).save(path)
    return sha256(path)


def archive(root: Path) -> Path:
    """A gallery with one picture of the acceptance set."""
    with zipfile.ZipFile(root / "gallery.zip", "w") as file:
        Gallery(archive=file).add("0/photo", Image.new("RGB", (4, 4)))
    return root / "gallery.zip"


def shades(path: Path) -> list[int]:
    """Of the sheet's pictures, each of which is one shade of grey."""
    with zipfile.ZipFile(path) as file:
        assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_STORED}
        names = [name for name in file.namelist() if name.startswith("added/")]
        assert sorted(file.namelist()) == sorted({*names, "0/photo.webp"})
        assert names == [f"added/{index}.webp" for index in range(len(names))]
        return [int(np.asarray(Image.open(io.BytesIO(file.read(name))).convert("L")).mean()) for name in names]


def test_all_of_a_few_images_are_shown_in_the_order_of_their_names(root: Path) -> None:
    came = {name: photograph(root, name, shade) for name, shade in (("train/good/b.png", 200), ("test/dent/a.png", 90))}
    path = archive(root)
    shown = add_contact_sheet(path, "plate", came, root)
    assert shown == [{"name": name, "sha256": came[name]} for name in ("test/dent/a.png", "train/good/b.png")]
    assert shades(path) == pytest.approx([90, 200], abs=4)


def test_of_many_images_some_are_shown_spread_over_the_names(root: Path) -> None:
    came = {f"train/good/{index:03}.png": photograph(root, f"train/good/{index:03}.png", index) for index in range(250)}
    path = archive(root)
    shown = [int(Path(image["name"]).stem) for image in add_contact_sheet(path, "plate", came, root)]
    assert len(shown) == SHEET
    assert shown[0] == 0
    assert set(np.diff(shown)) == {5, 6}
    assert shown[-1] >= 244
    assert shades(path) == pytest.approx(shown, abs=4)


def test_a_picture_is_small_and_keeps_its_shape(root: Path) -> None:
    came = {"train/good/wide.png": photograph(root, "train/good/wide.png", size=(4 * SIDE, 2 * SIDE))}
    path = archive(root)
    add_contact_sheet(path, "plate", came, root)
    with zipfile.ZipFile(path) as file, Image.open(io.BytesIO(file.read("added/0.webp"))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (SIDE, SIDE // 2))


def test_what_is_not_the_image_that_the_model_saw_is_not_shown(root: Path) -> None:
    """Whoever trains writes the names: no file outside of the dataset is shown, and no other one under the name."""
    outside = root / "secret.png"
    Image.new("L", (8, 6), 50).save(outside)
    (root / DATA).mkdir(parents=True)
    (root / DATA / "notes.txt").write_text("no picture")
    came = {
        "../../../secret.png": sha256(outside),
        str(outside): sha256(outside),
        "train/good/gone.png": "0" * 64,
        "train/good/other.png": photograph(root, "train/good/other.png")[::-1],
        "train/good": "1" * 64,
        "train/good/\0.png": "2" * 64,
        "notes.txt": sha256(root / DATA / "notes.txt"),
        "train/good/right.png": photograph(root, "train/good/right.png", 70),
    }
    path = archive(root)
    assert [image["name"] for image in add_contact_sheet(path, "plate", came, root)] == ["train/good/right.png"]
    assert shades(path) == pytest.approx([70], abs=4)


def test_nothing_that_came_leaves_the_archive_as_it_was(root: Path) -> None:
    path = archive(root)
    before = path.read_bytes()
    assert add_contact_sheet(path, "plate", {}, root) == []
    assert path.read_bytes() == before


def test_a_cameras_deep_photograph_is_shown_by_its_bit_depth(root: Path) -> None:
    (root / "params.yaml").write_text("categories: {plate: {image: {bit_depth: 12}}}\n")
    path = root / DATA / "train/good/deep.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.full((6, 8), 2048, dtype=np.uint16)).save(path)
    gallery = archive(root)
    assert len(add_contact_sheet(gallery, "plate", {"train/good/deep.png": sha256(path)}, root)) == 1
    assert shades(gallery) == pytest.approx([128], abs=4)
