"""Which bytes are a usable photograph, and what the person who took it is told."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from destseg.dataset.images import FORMATS
from destseg.ingest.inbox import read_sidecar, unusable, unusable_mask
from destseg.validation.settings import ValidationSettings


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, format)
    return stream.getvalue()


def photograph(mode: str = "RGB", size: tuple[int, int] = (48, 40)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize(
    ("format", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("WEBP", ".webp")]
)
def test_photographs_of_every_format_are_usable(format: str, suffix: str) -> None:
    assert unusable(encoded(photograph(), format), suffix) is None


def test_grey_photographs_are_usable() -> None:
    assert unusable(encoded(photograph("L")), ".png") is None


@pytest.mark.parametrize(
    ("content", "suffix", "words"),
    [
        (b"", "", "empty"),
        (b"%PDF-1.7 report", "", "no image; expected one of PNG, JPEG"),
        (encoded(photograph())[:-200], ".png", "cannot be decoded"),
        (encoded(photograph("RGBA")), ".png", "RGBA, expected grey or RGB without transparency"),
        (encoded(photograph("CMYK"), "TIFF"), ".tif", "CMYK"),
        (encoded(Image.new("RGB", (64, 64))), ".png", "is black; look at the light"),
        (encoded(Image.new("RGB", (64, 64), "white")), ".png", "overexposed"),
        (encoded(Image.new("L", (64, 64), 120)), ".png", r"one grey \(about 120\)"),
    ],
)
def test_what_cannot_be_used_is_explained(content: bytes, suffix: str, words: str) -> None:
    reason = unusable(content, suffix)
    assert reason is not None
    assert re.search(words, reason), reason


def test_a_dark_photograph_that_shows_something_is_usable() -> None:
    values = np.random.default_rng(1).integers(0, 25, (64, 64), dtype=np.uint8)
    assert unusable(encoded(Image.fromarray(values)), ".png") is None


def test_deep_photographs_need_their_declared_bit_depth() -> None:
    values = np.random.default_rng(2).integers(0, 4096, (32, 32)).astype(np.uint16)
    content = encoded(Image.fromarray(values))
    assert unusable(content, ".png", bit_depth=12) is None
    assert "bit_depth" in (unusable(content, ".png", bit_depth=8) or "")


@pytest.mark.parametrize(
    ("content", "suffix", "words"),
    [
        (encoded(photograph(size=(48, 20))), ".png", "48x20 pixels, expected 32 to 16384 on each side"),
        (encoded(photograph("YCbCr"), "TIFF"), ".tif", "YCbCr, expected grey or RGB"),
        (encoded(photograph(), "JPEG"), ".jpg", r"JPEG, expected one of PNG \(validation.formats\)"),
        (encoded(Image.fromarray(np.repeat([[255] * 40, [90] * 40], [40, 20], 0).astype(np.uint8))), ".png", "white"),
    ],
)
def test_what_validation_would_refuse_does_not_get_in(content: bytes, suffix: str, words: str) -> None:
    reason = unusable(content, suffix, limits=ValidationSettings(formats=("PNG",) if suffix == ".jpg" else FORMATS))
    assert reason is not None
    assert re.search(words, reason), reason


def test_broken_exif_is_no_traceback() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    photograph().save(stream, "JPEG", exif=exif)
    whole, random = stream.getvalue(), np.random.default_rng(3)
    for _ in range(300):
        broken = bytearray(whole)
        for at in random.integers(20, 60, 3):
            broken[at] = random.integers(256)
        unusable(bytes(broken), ".jpg")  # usable or not, it is said in words


def mask(values: np.ndarray, format: str = "PNG", mode: str = "L") -> bytes:
    return encoded(Image.fromarray(values.astype(np.uint8)).convert(mode), format)


MARKED = np.pad(np.full((5, 5), 255), ((0, 35), (0, 43)))


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P"])
def test_masks_of_two_values_are_usable(mode: str) -> None:
    assert unusable_mask(mask(MARKED, mode=mode), (48, 40), ValidationSettings()) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "its mask is empty"),
        (mask(MARKED)[:-40], "cannot be decoded"),
        (mask(MARKED, "BMP"), "cannot be decoded"),
        (mask(MARKED[:-1]), "48x39 pixels, the photograph 48x40"),
        (mask(MARKED // 2), "grey values between 0 and 255"),
        (mask(MARKED * 0), "marks nothing"),
        (mask(255 - MARKED), r"marks 99% of the photograph; is it inverted"),
    ],
)
def test_what_is_wrong_with_a_mask_is_explained(content: bytes, words: str) -> None:
    assert re.search(words, unusable_mask(content, (48, 40), ValidationSettings()) or "")


def test_a_sidecar_says_what_it_says() -> None:
    assert read_sidecar(b'{"line": "L1", "exposure": 3}') == ({"line": "L1"}, None)
    assert read_sidecar(b"{}") == ({}, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b"\xff\xfe{", "no JSON object"),
        (b"[" * 60_000, "no JSON object"),
        (b'{"line": 3}', "line is no text of at most 200 characters"),
        (b'{"camera": "' + b"x" * 201 + b'"}', "camera is no text of at most 200 characters"),
    ],
)
def test_a_wrong_sidecar_says_nothing(content: bytes, words: str) -> None:
    about, reason = read_sidecar(content)
    assert about == {}
    assert words in (reason or "")
