"""Datasets as they are downloaded: archives, and other layouts than MVTec's."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg import Error
from destseg.ingest.add import add
from destseg.ingest.archives import unpacked
from destseg.ingest.layouts import as_mvtec
from destseg.storage import versions

from .test_add import picture, root, save, source  # noqa: F401  # fixtures


@pytest.mark.parametrize("suffix", ["tar.xz", "tar.gz", "tar", "zip"])
def test_one_category_of_an_archive_is_added(root: Path, source: Path, tmp_path: Path, suffix: str) -> None:  # noqa: F811  # fixtures
    archive = tmp_path / f"mvtec.{suffix}"
    parts = {"license.txt": None, "mvtec/screw": source, "mvtec/bolt": source}
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name in ("screw", "bolt"):
                for path in source.rglob("*.png"):
                    file.write(path, f"mvtec/{name}/{path.relative_to(source)}")
    else:
        with tarfile.open(archive, f"w:{suffix[4:]}") as tar:
            for name, folder in parts.items():
                if folder:
                    tar.add(folder, name)
    added = add("screw", archive, root)
    assert (added.normals, added.defects) == (4, 1)
    assert len(versions.listing(root, "screw")) == 6
    assert list((root / ".dvc/tmp").glob("*-????????")) == []
    with pytest.raises(Error, match="no dataset called 'nut' is in it, but bolt, screw"):
        add("nut", archive, root)


def member(name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], None]:
    """Writes a tar with one member and a good one before it."""

    def write(path: Path) -> None:
        with tarfile.open(path, "w") as tar:
            for known, type_ in (("screw/train/good/a.png", tarfile.REGTYPE), (name, kind)):
                info = tarfile.TarInfo(known)
                info.type, info.linkname = type_, "/etc/passwd"
                tar.addfile(info, io.BytesIO())

    return write


def zipped(name: str, mode: int = 0o100644) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, "/etc/passwd")

    return write


def huge(path: Path) -> None:
    """A header that promises more than any disk holds."""
    info = tarfile.TarInfo("screw/train/good/a.png")
    info.size = 10**15
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))


def truncated(path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        info = tarfile.TarInfo("screw/train/good/a.png")
        info.size = 500_000
        tar.addfile(info, io.BytesIO(os.urandom(500_000)))
    path.write_bytes(data.getvalue()[:300_000])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (member("../outside.png"), "a path that leads out of it"),
        (member("/outside.png"), "a path that leads out of it"),
        (member("screw/link", tarfile.SYMTYPE), "a link or device"),
        (member("screw/hard", tarfile.LNKTYPE), "a link or device"),
        (member("screw/device", tarfile.CHRTYPE), "a link or device"),
        (zipped("../outside.png"), "a path that leads out of it"),
        (zipped("a\\..\\..\\outside.png"), "a path that leads out of it"),
        (zipped("screw/link", 0o120777), "a link or device"),
        (huge, "more bytes than the disk has left"),
        (truncated, "cannot be unpacked"),
        (lambda path: path.write_text("no archive"), "is no archive that can be read"),
    ],
)
def test_an_archive_that_cannot_be_trusted_leaves_nothing(
    tmp_path: Path, write: Callable[[Path], object], words: str
) -> None:
    archive, scratch = tmp_path / "archive", tmp_path / "deep" / "scratch"
    scratch.mkdir(parents=True)
    write(archive)
    with pytest.raises(Error, match=words), unpacked(archive, scratch):
        pass
    assert [path for path in tmp_path.rglob("*") if path not in (archive, scratch, scratch.parent)] == []


def test_visa_becomes_mvtec(root: Path, tmp_path: Path) -> None:  # noqa: F811  # fixtures
    data = tmp_path / "candle/Data"
    for index in range(4):
        picture(data / f"Images/Normal/{index}.JPG", seed=index)
    picture(data / "Images/Anomaly/0.JPG", seed=9)
    save(data / "Masks/Anomaly/0.png", np.pad(np.full((9, 9), 3, np.uint8), ((0, 55), (0, 55))))
    added = add("candle", tmp_path / "candle", root)
    assert (added.normals, added.defects) == (4, 1)
    listed = versions.listing(root, "candle")
    assert "test/anomaly/0.JPG" in listed
    with Image.open(root / "data/mvtec/candle/ground_truth/anomaly/0_mask.png") as mask:
        assert mask.getcolors() == [(81, 255), (64 * 64 - 81, 0)] or mask.getcolors() == [(64 * 64 - 81, 0), (81, 255)]
    assert not (root / "data/mvtec/candle/train/good/0.JPG").is_symlink()


def test_visas_own_table_says_which_normal_images_test(root: Path, tmp_path: Path) -> None:  # noqa: F811  # fixtures
    for index in range(4):
        picture(tmp_path / f"visa/candle/Data/Images/Normal/{index}.JPG", seed=index)
    table = tmp_path / "visa/split_csv/1cls.csv"
    table.parent.mkdir()
    rows = ["object,split,label,image,mask", "candle,train,normal,candle/Data/Images/Normal/0.JPG,"]
    rows += ["candle,test,normal,candle/Data/Images/Normal/2.JPG,", "fryum,test,normal,fryum/Data/Images/Normal/1.JPG,"]
    table.write_text("\n".join(rows))
    add("candle", tmp_path / "visa/candle", root)
    assert set(versions.listing(root, "candle")) == {
        *(f"train/good/{index}.JPG" for index in (0, 1, 3)),
        "test/good/2.JPG",
    }
    for text in ("object,split\ncandle,test\n", rows[0], "\0"):
        table.write_text(text)
        with pytest.raises(Error, match=r"1cls\.csv (cannot be read|has no normal test image)"):
            add("other", tmp_path / "visa/candle", root)


def test_btad_becomes_mvtec_and_what_has_no_mask_is_named(root: Path, tmp_path: Path) -> None:  # noqa: F811  # fixtures
    folder = tmp_path / "01"
    for index, name in enumerate(
        ["train/ok/0.bmp", "train/ok/1.bmp", "test/ok/2.bmp", "test/ko/3.bmp", "test/ko/4.bmp"]
    ):
        picture(folder / name, seed=index)
    save(folder / "ground_truth/ko/3.png", np.pad(np.full((9, 9), 255, np.uint8), ((0, 55), (0, 55))))
    with pytest.raises(Error, match=r"test/ko/4\.bmp: its mask ground_truth/ko/4_mask\.png does not exist"):
        add("btad", folder, root)
    save(folder / "ground_truth/ko/4.bmp", np.pad(np.full((9, 9), 255, np.uint8), ((0, 55), (0, 55))))
    added = add("btad", folder, root)
    assert (added.normals, added.defects) == (3, 2)


def test_mvtec_is_taken_as_it_is(source: Path, tmp_path: Path) -> None:  # noqa: F811  # fixtures
    assert as_mvtec(source, tmp_path / "staging") == source
