"""What comes from the registry is a comparison and pictures, or it is refused."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from destseg import Error
from destseg.registry.rest import Rest, Version
from destseg.review import artifacts
from destseg.review.artifacts import PARITY_LIMIT, Artifacts, Gallery
from destseg.review.comparison import read

from .comparisons import ADDED, content, write


def webp() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "WEBP")
    return file.getvalue()


def archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def test_a_gallery_gives_its_pictures(tmp_path: Path) -> None:
    write(tmp_path, content("washer", champion=1, images=5))
    gallery = Gallery(tmp_path / "gallery.zip")
    for name in (*(f"4/{what}" for what in artifacts.PICTURES), f"added/{ADDED - 1}"):
        with Image.open(io.BytesIO(gallery.picture(name))) as picture:
            assert (picture.format, picture.size) == ("WEBP", (64, 64))


@pytest.mark.parametrize("name", ["5/photo", "0/photograph", "0/../0/photo", "-1/photo", "added/12", "added/0/photo"])
def test_other_pictures_are_not_there(tmp_path: Path, name: str) -> None:
    write(tmp_path, content("washer", champion=1, images=5))
    with pytest.raises(Error, match="has no picture"):
        Gallery(tmp_path / "gallery.zip").picture(name)


@pytest.mark.parametrize(
    "name",
    [
        "../0/photo.webp",
        "/0/photo.webp",
        "0/photo.html",
        "00/photo.webp",
        "0/photo.webp/..",
        "photo.webp",
        "0/",
        "added/1000.webp",
        "added/photo.webp",
        "0/added.webp",
    ],
)
def test_a_gallery_with_any_other_name_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": webp(), name: webp()})
    with pytest.raises(Error, match="expected stored pictures"):
        Gallery(path)


def test_a_compressed_gallery_is_refused_as_it_may_be_a_bomb(tmp_path: Path) -> None:
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(Error, match="expected stored pictures"):
        Gallery(path)


def test_a_picture_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "PICTURE_LIMIT", 10)
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": webp()})
    with pytest.raises(Error, match="at most 10"):
        Gallery(path)


def test_an_endless_list_of_entries_is_not_even_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "gallery.zip", {f"{index}/photo.webp": b"" for index in range(65_535)})
    with pytest.raises(Error, match="more pictures than can be shown"):
        Gallery(path)


@pytest.mark.parametrize("data", [b"<script>alert(1)</script>", b"", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_webp_is_not_given_out(tmp_path: Path, data: bytes) -> None:
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": data})
    with pytest.raises(Error, match="is no WebP picture"):
        Gallery(path).picture("0/photo")


def test_an_archive_that_names_another_end_is_refused(tmp_path: Path) -> None:
    """zipfile would believe that one, and read as much as it says into memory."""
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": webp()})
    whole = path.read_bytes()
    path.write_bytes(whole[:-22] + b"PK\6\7" + bytes(16) + whole[-22:])
    with pytest.raises(Error, match="more pictures than can be shown"):
        Gallery(path)


@pytest.mark.parametrize(("at", "value"), [(6, 99), (8, 1)])  # made for a newer program; encrypted
def test_an_archive_that_cannot_be_opened_is_refused(tmp_path: Path, at: int, value: int) -> None:
    path = archive(tmp_path / "gallery.zip", {"0/photo.webp": webp()})
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\1\2") + at] = value
    path.write_bytes(whole)
    with pytest.raises(Error, match="cannot be read"):
        Gallery(path).picture("0/photo")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gallery.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(Error, match="cannot be read"):
        Gallery(tmp_path / "gallery.zip")


def test_a_comparison_is_read(tmp_path: Path) -> None:
    found = read(write(tmp_path, content("washer", champion=1)) / "comparison.json")
    assert found.challenger.metrics["pro"] is None
    assert found.champion is not None
    assert found.changes.data.since == "4d" * 16
    assert [image.name for image in found.changes.data.sheet][1] == "train/good/new-026.png"
    assert found.champion.curves.image_roc[-1] == (1.0, 1.0)
    assert found.operating_points[5].missed == 0


def test_a_comparison_of_before_curves_and_the_contact_sheet_is_read(tmp_path: Path) -> None:
    older = content("washer", champion=1)
    for role in ("challenger", "champion"):
        del older[role]["curves"]
    for name in ("sheet", "removed_names"):
        del older["changes"]["data"][name]
    found = read(write(tmp_path, older) / "comparison.json")
    assert (found.challenger.curves.image_roc, found.changes.data.sheet) == ((), [])
    assert found.changes.data.added == 310


def curve(found: dict) -> list:
    return found["champion"]["curves"]["image_roc"]


def sheet(found: dict) -> list:
    return found["changes"]["data"]["sheet"]


BREAK: dict[str, Callable[[dict], object]] = {
    "no verdict": lambda found: found.pop("verdict"),
    "a verdict that is no text": lambda found: found.update(verdict={"a": 1}),
    "an endless verdict": lambda found: found.update(verdict="x" * 10_000),
    "images that are none": lambda found: found.update(images=[1]),
    "a metric that is no number": lambda found: found["challenger"]["metrics"].update(pro="<b>"),
    "a current point that is not there": lambda found: found.update(current=6),
    "a count that no float holds": lambda found: found["operating_points"][0].update(false_rejects=10**400),
    "a count below none": lambda found: found["kinds"].update(good=-1),
    "more defect types than there can be": lambda found: found.update(kinds=dict.fromkeys(map(str, range(1001)), 1)),
    "a current point before the first": lambda found: found.update(current=-1),
    "a curve that leaves its frame": lambda found: curve(found).append([0.5, 1.5]),
    "a curve through no number": lambda found: curve(found).append([float("nan"), 0.5]),
    "a curve in space": lambda found: curve(found).append([0.5, 0.5, 0.5]),
    "an endless curve": lambda found: curve(found).extend([[0.5, 0.5]] * 500),
    "an endless contact sheet": lambda found: sheet(found).extend(sheet(found) * 20),
    "an added image of no content": lambda found: sheet(found)[0].update(sha256="../../x"),
}


@pytest.mark.parametrize("how", BREAK)
def test_what_is_no_comparison_is_refused(tmp_path: Path, how: str) -> None:
    known = content("washer", champion=1)
    BREAK[how](known)
    (tmp_path / "comparison.json").write_text(json.dumps(known))
    with pytest.raises(Error, match=r"comparison\.json .*compare again"):
        read(tmp_path / "comparison.json")


def parity_of(folder: Path, content: bytes) -> Version:
    """A version whose parity.json has this content, which lies in the cache `folder` already."""
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest[:2]).mkdir(parents=True, exist_ok=True)
    (folder / digest[:2] / digest).write_bytes(content)
    tags = {"files": json.dumps({"parity.json": digest})}
    return Version(name="destseg-washer", version=1, creation_timestamp=0, run_id=None, tags=tags)


def test_a_parity_report_that_names_a_larger_file_of_the_cache_is_refused(tmp_path: Path) -> None:
    known, registry = Artifacts(tmp_path), Rest("http://127.0.0.1:9")
    assert known.parity(registry, parity_of(tmp_path, b"{}")) == "{}"
    with pytest.raises(Error, match=rf"parity\.json of models:/destseg-washer/1 has {PARITY_LIMIT + 1} bytes, at most"):
        known.parity(registry, parity_of(tmp_path, bytes(PARITY_LIMIT + 1)))


def test_what_was_looked_at_leaves_no_lock(tmp_path: Path) -> None:
    known, registry = Artifacts(tmp_path), Rest("http://127.0.0.1:9")
    for number in range(20):
        known.parity(registry, parity_of(tmp_path, b"%d" % number))
    assert len(known._locks) == 0
