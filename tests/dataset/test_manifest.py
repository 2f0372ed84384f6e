"""The manifest: one row per file, whatever the file is."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg.dataset.images import ImageSettings
from destseg.dataset.manifest import Row, manifest, role, sharpness

SETTINGS = ImageSettings(size=64)


def photograph(path: Path, *, seed: int = 0, shape: tuple[int, ...] = (48, 40, 3), **options: object) -> Path:
    """Noise that no two seeds share, saved as `path` names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def rows(directory: Path) -> dict[str, Row]:
    return {row.path: row for row in manifest(directory, SETTINGS)}


def test_an_image_has_its_hash_its_size_and_its_grey_values(tmp_path: Path) -> None:
    path = photograph(tmp_path / "train/good/a.png", shape=(48, 40))
    pixels = np.asarray(Image.open(path)).astype(float)
    row = rows(tmp_path)["train/good/a.png"]
    assert (row.role, row.split, row.kind) == ("image", "train", "good")
    assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert row.bytes == path.stat().st_size
    assert (row.format, row.mode, row.width, row.height, row.error) == ("PNG", "L", 40, 48, None)
    assert row.mean == pytest.approx(pixels.mean())
    assert row.std == pytest.approx(pixels.std())
    assert row.saturated == (pixels == 255).mean()


def test_the_rows_are_sorted_by_path_and_hold_every_file(tmp_path: Path) -> None:
    for name in ("train/good/b.png", "train/good/a.png", "test/dent/c.jpg"):
        photograph(tmp_path / name)
    (tmp_path / "train/good/.DS_Store").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    assert [row.path for row in manifest(tmp_path, SETTINGS)] == [
        "notes.txt",
        "test/dent/c.jpg",
        "train/good/.DS_Store",
        "train/good/a.png",
        "train/good/b.png",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("train/good/a.png", "image"),
        ("test/good/a.JPG", "image"),
        ("test/dent/a.tiff", "image"),
        ("ground_truth/dent/a_mask.png", "mask"),
        ("ground_truth/dent/a.png", "stranger"),
        ("train/dent/a.png", "stranger"),
        ("train/good/a.gif", "stranger"),
        ("train/a.png", "stranger"),
        ("test/dent/deep/a.png", "stranger"),
        ("test/.cache/a.png", "stranger"),
        ("photos/good/a.png", "stranger"),
        ("train/good/\udcff.png", "stranger"),
        ("train/good/._a.png", "ignored"),
        ("test/Thumbs.db", "ignored"),
        ("license.txt", "ignored"),
    ],
)
def test_the_place_and_the_name_of_a_file_say_what_it_is(path: str, expected: str) -> None:
    assert role(path) == expected


def test_a_mask_and_its_image_know_each_other(tmp_path: Path) -> None:
    photograph(tmp_path / "test/dent/a.png", shape=(48, 40))
    mask = np.zeros((48, 40), dtype=np.uint8)
    mask[:12, :10] = 255
    photograph(tmp_path / "ground_truth/dent/a_mask.png")
    Image.fromarray(mask).save(tmp_path / "ground_truth/dent/a_mask.png")
    found = rows(tmp_path)
    image, truth = found["test/dent/a.png"], found["ground_truth/dent/a_mask.png"]
    assert image.partner == truth.path
    assert truth.partner == image.path
    assert (truth.same_size, truth.two_values, truth.share) == (True, True, 1 / 16)
    assert truth.scaled_pixels == 16 * 16


def test_a_mask_of_another_size_or_with_grey_edges_is_told_apart(tmp_path: Path) -> None:
    photograph(tmp_path / "test/dent/a.png")
    photograph(tmp_path / "ground_truth/dent/a_mask.png", shape=(20, 20))
    row = rows(tmp_path)["ground_truth/dent/a_mask.png"]
    assert (row.same_size, row.two_values) == (False, False)


def test_the_size_is_the_one_after_the_orientation_of_the_camera(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    photograph(tmp_path / "train/good/a.jpg", shape=(48, 40, 3), exif=exif)
    row = rows(tmp_path)["train/good/a.jpg"]
    assert (row.width, row.height) == (48, 40)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty (0 bytes)"),
        (b"a letter", "holds no image of a known format; expected one of PNG, JPEG, BMP, TIFF, WEBP"),
    ],
)
def test_a_file_that_is_no_image_says_so(tmp_path: Path, content: bytes, error: str) -> None:
    path = tmp_path / "train/good/a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert rows(tmp_path)["train/good/a.png"].error == error


def test_a_truncated_image_says_so_and_keeps_its_hash(tmp_path: Path) -> None:
    path = photograph(tmp_path / "train/good/a.png")
    path.write_bytes(path.read_bytes()[:900])
    row = rows(tmp_path)["train/good/a.png"]
    assert row.error
    assert "cannot be decoded" in row.error
    assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "train/good/a.png"
    path.parent.mkdir(parents=True)
    Image.new("1", (9000, 9000)).save(path)
    row = rows(tmp_path)["train/good/a.png"]
    assert row.error == "has 9000x9000 pixels, expected at most 64,000,000"
    assert row.mean is None


def test_a_dangling_link_is_a_row_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "train/good").mkdir(parents=True)
    (tmp_path / "train/good/a.png").symlink_to(tmp_path / "nowhere.png")
    assert rows(tmp_path)["train/good/a.png"].error == "cannot be read (No such file or directory)"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_random_changes_of_good_files_never_end_the_manifest(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for suffix in (".png", ".jpg", ".bmp", ".tif", ".webp"):
        whole = np.frombuffer(photograph(tmp_path / f"whole{suffix}").read_bytes(), dtype=np.uint8)
        for number in range(40):
            broken = whole.copy()
            broken[generator.integers(0, min(len(whole), 400), 3)] = generator.integers(0, 256, 3)
            path = tmp_path / f"train/good/{number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(broken.tobytes())
    for row in manifest(tmp_path, SETTINGS):
        assert row.role == "stranger" or row.error or row.mode not in ("L", "RGB") or row.std is not None


def test_sharpness_is_the_variance_of_the_laplacian_in_any_number_of_bands() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (600, 33), dtype=np.uint8)
    wide = grey.astype(float)
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    assert sharpness(grey) == pytest.approx(laplacian.var(), rel=1e-12)
    assert sharpness(grey[:2]) == 0.0
