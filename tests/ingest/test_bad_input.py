"""Whatever the bytes, ingest accepts what trains or says in words why not: no crash, no hang, no warning."""

import re
import signal
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from destseg.dataset.images import MODES, ImageSettings, decode, load, load_mask
from destseg.dataset.manifest import measure
from destseg.dataset.splits import SplitSettings
from destseg.ingest.batch import BatchResult
from destseg.ingest.inbox import DEFAULT_LIMITS, MAX_SIDECAR, read_sidecar, suffix_of, unusable, unusable_mask
from destseg.validation.settings import ValidationSettings
from destseg.validation.validate import check

from . import corpus
from .corpus import MASKS, PHOTOGRAPHS, SIDECARS, Case, photograph, saved

MUTATIONS = 600  # of each format
HANG = 60  # seconds; no case needs one, even beside other work
LIBTIFF = re.compile(
    r"(tempfile\.tif|\w+(?<!Error)(?<!Warning)): "
)  # how its own lines begin, which Python cannot stop


@pytest.fixture(autouse=True)
def guarded(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test may hang, leave a warning or write to the terminal."""

    def hangs(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"still busy after {HANG} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANG)
    try:
        with warnings.catch_warnings(record=True) as said:
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert [str(one.message) for one in said] == []
    out, err = capfd.readouterr()
    assert out == ""
    assert [line for line in err.splitlines() if not LIBTIFF.match(line)] == []


def reason(content: bytes, bit_depth: int = 8) -> str | None:
    """Of a photograph, as ingest finds it."""
    return unusable(content, suffix_of(content), bit_depth, DEFAULT_LIMITS)


def assert_readable(text: str | None) -> None:
    """One line of words, without Python's names for things."""
    assert text
    assert len(text) < 300
    assert text.isprintable(), text
    assert not re.search(r"\bobject at 0x|BytesIO|decoded \(\d*\)|Error\b|Traceback|NoneType", text), text


def assert_trains(path: Path, content: bytes, bit_depth: int = 8) -> None:
    """It decodes to the last pixel, and `validate` would find nothing wrong with it."""
    settings = ImageSettings(size=64, bit_depth=bit_depth)
    image = decode(content, bit_depth=bit_depth)
    assert np.asarray(image).shape == (image.height, image.width, 3)
    assert load(content, settings).shape == (64, 64, 3)
    path.write_bytes(content)
    row = measure(path, "image", settings)
    assert row.error is None
    assert row.mode in MODES
    assert row.format in DEFAULT_LIMITS.formats
    assert row.width == image.width >= DEFAULT_LIMITS.min_side
    assert row.height == image.height >= DEFAULT_LIMITS.min_side
    assert (row.std or 0) >= DEFAULT_LIMITS.blank_std
    assert (row.saturated or 0) <= DEFAULT_LIMITS.saturated_share


@pytest.mark.parametrize("case", PHOTOGRAPHS, ids=lambda case: case.name)
def test_a_photograph_is_refused_in_words_or_trains(case: Case, tmp_path: Path) -> None:
    found = reason(case.content, case.bit_depth)
    if case.words is None:
        assert found is None
        assert_trains(tmp_path / case.name, case.content, case.bit_depth)
    else:
        assert_readable(found)
        assert re.search(case.words, found or ""), found


@pytest.mark.parametrize("case", MASKS, ids=lambda case: case.name)
def test_a_mask_is_refused_in_words_or_marks_a_defect(case: Case, tmp_path: Path) -> None:
    found = unusable_mask(case.content, (corpus.SIDE, corpus.SIDE), DEFAULT_LIMITS)
    if case.words is None:
        assert found is None
        (tmp_path / "mask.png").write_bytes(case.content)
        assert load_mask(tmp_path / "mask.png", 64).sum() == 100
    else:
        assert_readable(found)
        assert re.search(case.words, found or ""), found


@pytest.mark.parametrize(
    "case", [case for case in SIDECARS if len(case.content) <= MAX_SIDECAR], ids=lambda case: case.name
)
def test_a_sidecar_is_refused_in_words_or_read(case: Case) -> None:
    about, found = read_sidecar(case.content)
    if case.words is None:
        assert found is None
        assert about["line"] in ("L1", "Straße")
    else:
        assert_readable(found.replace('{"line": "...", "camera": "...", "time": "..."}', "") if found else found)
        assert about == {}
        assert re.search(case.words, found or ""), found


def test_validation_lets_through_what_ingest_accepts(tmp_path: Path) -> None:
    signal.alarm(3 * HANG)
    folder = tmp_path / "train/good"
    folder.mkdir(parents=True)
    for case in PHOTOGRAPHS:
        if case.words is None and case.bit_depth == 8:
            (folder / f"{case.stem}.{suffix_of(case.content)}").write_bytes(case.content)
    verdict = check(
        tmp_path,
        image=ImageSettings(size=64),
        parts=SplitSettings(),
        settings=ValidationSettings(min_normals=2, normals_only=True),
    )
    assert [str(f) for f in verdict.expectations if not f.success and f.severity == "error"] == []


def test_a_photograph_is_turned_as_its_camera_says() -> None:
    sizes = {case.name: decode(case.content).size for case in PHOTOGRAPHS if case.name.startswith("turned-")}
    assert sizes == {
        "turned-3.jpg": (64, 48),
        "turned-6.jpg": (48, 64),
        "turned-8.jpg": (48, 64),
        "turned-99.jpg": (64, 48),
    }


def test_bombs_cost_little_memory_and_nothing_is_said_of_them() -> None:
    code = (
        "import resource\n"
        "from destseg.ingest.inbox import DEFAULT_LIMITS, suffix_of, unusable, unusable_mask\n"
        "from tests.ingest.corpus import MASKS, PHOTOGRAPHS\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for case in PHOTOGRAPHS:\n"
        "    unusable(case.content, suffix_of(case.content))\n"
        "for case in MASKS:\n"
        "    unusable_mask(case.content, (64, 64), DEFAULT_LIMITS)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=HANG)
    assert done.stderr == ""
    assert int(done.stdout) < 100_000, "KiB; the picture of one bomb alone has 900 MB"


def mutations(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Flipped bits, bytes that are gone or new, cut ends and swapped pieces; one to four of them each time."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        broken = bytearray(content)
        for _ in range(random.integers(1, 5)):
            # Half of them in the header, which is short and says how the rest is read.
            end = min(len(broken), 200) if random.random() < 0.5 else len(broken)
            at, length = int(random.integers(end)) if end else 0, int(random.integers(1, 30))
            match random.integers(5):
                case 0 if broken:
                    broken[at] ^= 1 << int(random.integers(8))
                case 1:
                    del broken[at : at + length]
                case 2:
                    broken[at:at] = random.bytes(length)
                case 3 if random.random() < 0.3:
                    del broken[at:]
                case _:
                    other = int(random.integers(len(broken) + 1))
                    one, two = broken[at : at + length], broken[other : other + length]
                    broken[at : at + len(two)], broken[other : other + len(one)] = two, one
        yield bytes(broken)


def resealed(content: bytes) -> bytes:
    """A PNG with the checksums that its chunks should have, so that what is in them is read."""
    sealed, at = bytearray(content), 8
    while at + 12 <= len(sealed):
        end = at + 8 + int.from_bytes(sealed[at : at + 4])
        sealed[end : end + 4] = zlib.crc32(sealed[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(sealed)


SEEDS = {
    "PNG": saved(photograph("seed", side=32)),
    "JPEG": saved(photograph("seed"), "JPEG", exif=corpus.exif(6)),
    "BMP": saved(photograph("seed", side=32), "BMP"),
    "TIFF": saved(photograph("seed", side=32), "TIFF"),
    "WEBP": saved(photograph("seed"), "WEBP"),
    "PNG sealed": saved(photograph("seed", side=32), compress_level=0),
    "PNG palette sealed": saved(photograph("seed", "P", side=48), compress_level=0),
    "PNG deep sealed": corpus.deep_png("seed", 256),
    "TIFF packed": saved(photograph("seed", "L"), "TIFF", compression="tiff_lzw"),
    "TIFF deep": saved(corpus.Image.fromarray(corpus.noise("seed", 32, 32).astype(np.uint16)), "TIFF"),
}


@pytest.mark.parametrize("format", SEEDS)
def test_whatever_is_broken_is_refused_in_words_or_trains(format: str, tmp_path: Path) -> None:
    signal.alarm(3 * HANG)
    found: dict[str | None, bytes] = {}
    for broken in mutations(SEEDS[format], seed=7, count=MUTATIONS):
        broken = resealed(broken) if "sealed" in format else broken
        said = reason(broken)
        found[said] = broken
        if said is None:
            assert_trains(tmp_path / "photograph.png", broken)
        else:
            assert_readable(said)
    assert None in found or format == "PNG", "no mutation left a photograph whole"  # PNG has checksums
    assert len(found) > 3, "the mutations break too little"


def test_a_broken_mask_is_refused_in_words_or_marks_a_defect(tmp_path: Path) -> None:
    signal.alarm(3 * HANG)
    for broken in map(resealed, mutations(MASKS[0].content, seed=8, count=MUTATIONS)):
        said = unusable_mask(broken, (corpus.SIDE, corpus.SIDE), DEFAULT_LIMITS)
        if said is None:
            (tmp_path / "mask.png").write_bytes(broken)
            assert load_mask(tmp_path / "mask.png", corpus.SIDE).any()
        else:
            assert_readable(said)


def test_a_key_makes_no_line_of_its_own_in_what_a_batch_says() -> None:
    reasons = {"inbox/washer/Prüfling\nwasher: 9 accepted": "no\u2028image"}
    _, said = str(BatchResult(category="washer", rejected=1, reasons=reasons)).splitlines()
    assert said == r"  inbox/washer/Prüfling\nwasher: 9 accepted: no\u2028image"
