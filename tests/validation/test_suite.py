"""The suite finds every mistake that a dataset can have, and names the file."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from destseg.dataset.images import ImageSettings
from destseg.dataset.splits import SplitSettings
from destseg.validation import ValidationSettings, Verdict, check, plain

Break = Callable[[Path], object]
A = "train/good/000.png"
MASK = "ground_truth/dent/000_mask.png"


def checked(dataset: Path, settings: ValidationSettings | None = None, share: float = 0.2) -> Verdict:
    """What Great Expectations finds, and the checks without it find the same, whatever a test has broken."""
    image, parts = ImageSettings(size=64), SplitSettings(calibration_share=share)
    found = check(dataset, image=image, parts=parts, settings=settings or ValidationSettings())
    plainly = check(dataset, image=image, parts=parts, settings=settings or ValidationSettings(), by=plain.run)
    assert plainly == found
    return found


def grey(path: Path, pixels: np.ndarray, **options: str) -> None:
    Image.fromarray(pixels.astype(np.uint8)).save(path, **options)


def converted(mode: str, **options: str) -> Break:
    return lambda dataset: Image.open(dataset / A).convert(mode).save(dataset / A, **options)


def written(name: str, content: bytes) -> Break:
    def write(dataset: Path) -> None:
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_bytes(content)

    return write


def copied(source: str, target: str) -> Break:
    def copy(dataset: Path) -> None:
        (dataset / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(dataset / source, dataset / target)

    return copy


def drawn(name: str, pixels: np.ndarray, **options: str) -> Break:
    return lambda dataset: grey(dataset / name, pixels, **options)


def nearly_white() -> np.ndarray:
    pixels = np.full((64, 64), 255)
    pixels[:8] = 0
    return pixels


def one_pixel(size: int) -> np.ndarray:
    pixels = np.zeros((size, size))
    pixels[size // 2, size // 2] = 255
    return pixels


ERRORS: list[tuple[Break, str, str]] = [
    (written("train/good/notes.txt", b"x"), "train/good/notes.txt", "is no image"),
    (written("readme.md", b"x"), "readme.md", "has no place in MVTec's layout"),
    (copied("test/dent/000.png", "train/dent/9.png"), "train/dent/9.png", "train/ holds good parts only"),
    (copied(MASK, "ground_truth/dent/9.png"), "ground_truth/dent/9.png", "is no mask; masks are called"),
    (written(A, b""), A, "is empty (0 bytes)"),
    (written(A, b"GIF89a"), A, "holds no image of a known format"),
    (converted("RGBA"), A, "has colour mode RGBA"),
    (converted("CMYK", format="JPEG"), A, "has colour mode CMYK"),
    (drawn(A, np.random.default_rng(0).integers(0, 250, (64, 20))), A, "is 20x64 pixels, expected at least 32"),
    (drawn(A, np.full((64, 64), 90)), A, "is blank: all pixels near 90"),
    (copied(A, "train/good/twin.png"), "train/good/twin.png", f"has the same bytes as {A}"),
    (copied(A, "test/good/leak.png"), "test/good/leak.png", f"has the same bytes as {A}"),
    (lambda dataset: (dataset / MASK).unlink(), "test/dent/000.png", f"has no mask, expected {MASK}"),
    (lambda dataset: (dataset / "test/dent/000.png").unlink(), MASK, "has no image, expected test/dent/000.*"),
    (copied(MASK, "ground_truth/good/000_mask.png"), "ground_truth/good/000_mask.png", "is the mask of a good part"),
    (drawn(MASK, one_pixel(60)), MASK, "is 60x60 pixels, its image 64x64"),
    (drawn(MASK, np.eye(64) * 128), MASK, "has grey values between 0 and 255"),
    (drawn(MASK, np.zeros((64, 64))), MASK, "marks no defect pixel"),
    (drawn(MASK, 255 - one_pixel(64)), MASK, "marks 100% of its image; is it inverted?"),
]


@pytest.mark.parametrize(("break_it", "file", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_a_mistake_is_an_error_at_its_file_and_the_only_one(
    dataset: Path, break_it: Break, file: str, text: str
) -> None:
    break_it(dataset)
    verdict = checked(dataset)
    assert not verdict.accepted
    found = [finding for finding in verdict.findings if finding.severity == "error"]
    assert [finding.file for finding in found] == [file]
    assert text in found[0].text


def test_a_whole_dataset_has_no_findings_and_every_expectation_holds(dataset: Path) -> None:
    verdict = checked(dataset)
    assert verdict.accepted
    assert verdict.findings == ()
    assert all(outcome.success for outcome in verdict.expectations)
    assert verdict.training + verdict.calibration == verdict.counts["train/good"] == 24


def test_two_images_that_share_a_mask_are_an_error(dataset: Path) -> None:
    grey(dataset / "test/dent/000.bmp", np.random.default_rng(9).integers(0, 250, (64, 64)))
    assert [str(finding) for finding in checked(dataset).findings] == [
        "test/dent/000.png: shares its mask with test/dent/000.bmp; give one of them another name"
    ]


def resized(dataset: Path) -> None:
    """A dataset whose last photograph came from another camera."""
    grey(dataset / A, np.random.default_rng(9).integers(0, 250, (80, 96)))


def darkened(dataset: Path) -> None:
    grey(dataset / A, np.clip(np.asarray(Image.open(dataset / A)).astype(float) - 15, 0, 255))


def blurred(dataset: Path) -> None:
    Image.open(dataset / A).filter(ImageFilter.GaussianBlur(2)).save(dataset / A)


def recompressed(source: str, target: str) -> Break:
    """The same photograph again, in lower quality."""
    return lambda dataset: Image.open(dataset / source).save(dataset / target, quality=90)


WARNINGS: list[tuple[Break, str | None, str]] = [
    (converted("RGB"), None, "images of two colour modes: 29 grey and 1 RGB (such as train/good/000.png)"),
    (resized, None, "images of two sizes: 29 64x64 and 1 96x80 (such as train/good/000.png); has a camera been"),
    (darkened, A, "is far darker than the other good parts, by "),
    (blurred, A, "is far less sharp than the other good parts, by "),
    (recompressed(A, "train/good/again.jpg"), "train/good/again.jpg", f"looks like {A}: it adds little"),
    (
        recompressed("test/dent/000.png", "test/good/again.jpg"),
        "test/good/again.jpg",
        "looks like test/dent/000.png: it adds little",
    ),
    (drawn(A, np.random.default_rng(0).integers(0, 250, (64, 64)), format="BMP"), A, "holds BMP, which its name"),
    (lambda dataset: shutil.rmtree(dataset / "test/good"), None, "0 images in test/good, expected at least 1"),
]


@pytest.mark.parametrize(("break_it", "file", "text"), WARNINGS, ids=[text for _, _, text in WARNINGS])
def test_a_doubt_is_a_warning_and_the_dataset_is_accepted(
    dataset: Path, break_it: Break, file: str | None, text: str
) -> None:
    break_it(dataset)
    verdict = checked(dataset)
    assert verdict.accepted
    assert [(finding.severity, finding.file) for finding in verdict.findings] == [("warning", file)]
    assert text in verdict.findings[0].text


def test_an_overexposed_image_is_a_warning(dataset: Path) -> None:
    grey(dataset / A, nearly_white())
    found = {finding.expectation: finding for finding in checked(dataset).findings}
    assert set(found) == {"saturated", "brightness", "sharpness"}
    assert str(found["saturated"]) == f"{A}: is overexposed: 88% of its pixels are at 255"


def test_a_test_image_that_looks_like_a_training_image_is_an_error(dataset: Path) -> None:
    recompressed(A, "test/good/again.jpg")(dataset)
    verdict = checked(dataset)
    assert [(f.severity, f.file) for f in verdict.findings] == [("error", "test/good/again.jpg")]
    assert f"looks like {A}, which trains" in verdict.findings[0].text
    assert checked(dataset, ValidationSettings(near_duplicate=0)).findings == ()


def test_images_that_are_all_alike_but_for_noise_are_near_duplicates(dataset: Path) -> None:
    scene, chance = np.random.default_rng(0).integers(0, 240, (64, 64)), np.random.default_rng(1)
    for path in (dataset / "train/good").iterdir():
        grey(path, scene + (chance.random((64, 64)) < 0.02))
    found = [finding for finding in checked(dataset).findings if finding.expectation == "near-duplicate"]
    assert len(found) == 23


def test_a_mask_that_vanishes_at_the_models_size_is_a_warning(dataset: Path) -> None:
    grey(dataset / "test/dent/000.png", np.random.default_rng(9).integers(0, 250, (512, 512)))
    grey(dataset / MASK, one_pixel(512))
    assert [(f.severity, f.file, f.expectation) for f in checked(dataset).findings] == [
        ("warning", None, "one-size"),
        ("warning", MASK, "mask-scaled"),
    ]


def test_normals_alone_are_accepted_where_the_settings_say_so(dataset: Path) -> None:
    shutil.rmtree(dataset / "test")
    shutil.rmtree(dataset / "ground_truth")
    refused = checked(dataset)
    assert (refused.findings[0].severity, refused.findings[0].expectation) == ("error", "defects")
    assert "add some with their masks, or set validation.normals_only" in refused.findings[0].text
    verdict = checked(dataset, ValidationSettings(normals_only=True))
    assert verdict.accepted
    assert {finding.expectation for finding in verdict.findings} == {"defects", "test-normals"}


def test_too_few_normals_name_what_there_is_and_what_is_needed(dataset: Path) -> None:
    verdict = checked(dataset, ValidationSettings(min_normals=30))
    assert [finding.text for finding in verdict.findings] == [
        "24 usable images in train/good, expected at least 30; add photographs of good parts to train/good"
    ]


def test_an_empty_folder_is_refused_for_its_missing_normals(tmp_path: Path) -> None:
    verdict = checked(tmp_path)
    errors = {finding.expectation for finding in verdict.findings if finding.severity == "error"}
    assert errors == {"normals", "training", "calibration", "defects"}


def test_without_a_calibration_share_no_image_is_held_out_and_none_is_missed(dataset: Path) -> None:
    verdict = checked(dataset, share=0)
    assert verdict.accepted
    assert (verdict.training, verdict.calibration) == (24, 0)


def test_a_format_that_the_settings_leave_out_is_refused(dataset: Path) -> None:
    grey(dataset / "train/good/lossy.jpg", np.random.default_rng(9).integers(0, 250, (64, 64)))
    verdict = checked(dataset, ValidationSettings(formats=("PNG", "TIFF")))
    assert [str(finding) for finding in verdict.findings] == [
        "train/good/lossy.jpg: is JPEG, expected PNG or TIFF (validation.formats)"
    ]


def test_ignored_files_are_listed_and_are_no_findings(dataset: Path) -> None:
    for name in (".DS_Store", "test/dent/Thumbs.db", "license.txt"):
        (dataset / name).write_text("x")
    verdict = checked(dataset)
    assert verdict.findings == ()
    assert verdict.ignored == (".DS_Store", "license.txt", "test/dent/Thumbs.db")


def test_a_linked_folder_is_an_error(dataset: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(dataset / A, elsewhere / "leak.png")
    (dataset / "test/scratch").symlink_to(elsewhere)
    assert [(f.file, f.expectation) for f in checked(dataset).findings] == [("test/scratch", "layout")]


def test_a_link_that_leads_nowhere_and_a_pipe_are_no_trouble(dataset: Path) -> None:
    (dataset / "train/good/.#000.png").symlink_to("me@host.123:456")  # an editor's lock
    os.mkfifo(dataset / "train/good/pipe.png")
    verdict = checked(dataset)
    assert verdict.ignored == ("train/good/.#000.png",)
    assert [str(finding) for finding in verdict.findings] == ["train/good/pipe.png: is no regular file"]


def test_a_mask_of_another_format_is_named_as_such(dataset: Path) -> None:
    Image.open(dataset / MASK).save(dataset / MASK, format="JPEG")
    (finding,) = checked(dataset).findings
    assert str(finding) == f"{MASK}: is JPEG, expected a mask as PNG, 0 (good) and 255 (defect)"


def test_a_hostile_name_is_one_line_on_the_terminal(dataset: Path) -> None:
    (dataset / "train/good/a\nwarning: \x1b[31mred.png").write_bytes(b"x")
    (finding,) = checked(dataset).findings
    assert str(finding).startswith(r"train/good/a\nwarning: \x1b[31mred.png: ")
    assert str(finding).isprintable()


def test_all_findings_come_at_once_the_files_with_errors_first(dataset: Path) -> None:
    grey(dataset / "train/good/001.png", nearly_white())
    (dataset / "train/good/002.png").write_bytes(b"")
    (dataset / "test/dent/001.png").write_bytes(b"")
    grey(dataset / "ground_truth/dent/002_mask.png", np.zeros((60, 60)))
    found = [(finding.severity, finding.file) for finding in checked(dataset).findings]
    assert found == [
        ("error", "ground_truth/dent/002_mask.png"),
        ("error", "ground_truth/dent/002_mask.png"),
        ("error", "test/dent/001.png"),
        ("error", "train/good/002.png"),
        *[("warning", "train/good/001.png")] * 3,
    ]


def test_a_name_that_is_not_utf8_is_an_error_and_no_crash(dataset: Path) -> None:
    shutil.copy(dataset / A, bytes(dataset / "train/good") + b"/\xff.png")
    found = checked(dataset).findings
    assert [finding.file for finding in found] == ["train/good/\\udcff.png"]
