"""A later batch with ten broken files among it goes through the flow `ingest`, as a worker would run it.

The photographs are renderings; DESTSEG_TILES=DIR takes the magnetic tiles of DIR/mvtec and DIR/incoming instead.
"""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from destseg.dataset import provenance
from destseg.dataset.demo import render_image
from destseg.ingest.add import add
from destseg.storage import s3, versions

PROJECT = Path(__file__).parents[2]
TILES = os.environ.get("DESTSEG_TILES")


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def rendered(index: int) -> bytes:
    return encoded(Image.fromarray(render_image("washer", split="train", kind="good", index=index, size=64)[0]))


def photographs() -> tuple[list[bytes], list[bytes]]:
    """(of the first version, of the later batch)."""
    if TILES:
        folders = [Path(TILES) / "mvtec/magnetic_tile/train/good", Path(TILES) / "incoming/magnetic_tile/good"]
        first, later = ([path.read_bytes() for path in sorted(folder.iterdir())] for folder in folders)
        return first, later
    return [rendered(index) for index in range(24)], [rendered(index) for index in range(100, 112)]


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 pixels in a few kilobytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(30_001) * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def broken(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Ten files that must not come in: content, and what the reason has to say."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    frames = [noise.rotate(90 * turn) for turn in range(3)]
    return {
        "truncated.png": (good[: len(good) // 2], "cannot be decoded"),
        "empty.png": (b"", "empty"),
        "text.png": (b"the camera is out of order\n", "no image"),
        "bomb.png": (bomb(), "pixels"),
        "animated.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "no image"),
        "print.jpg": (encoded(noise.convert("CMYK"), "JPEG"), "CMYK"),
        "cut-out.png": (encoded(noise.convert("RGBA")), "RGBA"),
        "pixel.png": (encoded(noise.resize((1, 1))), "1x1 pixels"),
        "lens-cap.png": (encoded(Image.new("L", (64, 64))), "black"),
        "deep.png": (encoded(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))), "bit_depth"),
    }


@pytest.fixture
def first(origin: Any, tmp_path: Path) -> Path:
    """A clone after the first version."""
    root, source = origin.clone(tmp_path / "clone"), tmp_path / "source/train/good"
    source.mkdir(parents=True)
    for index, content in enumerate(photographs()[0]):
        (source / f"{index}.png").write_bytes(content)
    add("tiles", source.parents[1], root)
    versions.commit(root, [Path("params.yaml"), Path("data")], "Add tiles")
    versions.dvc(root, "push")
    assert versions.push(root)
    return Path(root)


def test_a_later_batch_with_ten_broken_files_comes_out_as_described(first: Path, origin: Any, tmp_path: Path) -> None:
    later = photographs()[1]
    bad = broken(later[0])
    sent = {f"line 1/{index}.png": content for index, content in enumerate(later)}
    for name, content in (sent | {name: content for name, (content, _) in bad.items()}).items():
        s3.upload(origin.bucket, f"inbox/tiles/{name}", content)

    places = {"WORKSPACES": tmp_path / "workspaces", "CACHE": tmp_path / "cache", "ORIGIN": origin.path}
    env = os.environ | {f"DESTSEG_{name}": str(place) for name, place in places.items()}
    env |= {"PREFECT_HOME": str(tmp_path / "prefect"), "DESTSEG_BUCKET": origin.bucket}
    command = [sys.executable, "-m", "flows.ingest", "--category", "tiles"]
    said = subprocess.run(command, cwd=PROJECT, env=env, timeout=300, check=True, stdout=subprocess.PIPE, text=True)
    result = json.loads(next(line for line in said.stdout.splitlines() if line.startswith("{")))

    assert (result["accepted"], result["rejected"], result["duplicates"]) == (len(later), 10, 0), result
    for name, (_, words) in bad.items():
        assert words in result["reasons"][f"inbox/tiles/{name}"], name
    assert list(s3.list_objects(origin.bucket, "inbox/")) == []

    moved = [item.key for item in s3.list_objects(origin.bucket, "quarantine/tiles/")]
    reasons = [key for key in moved if key.endswith(".json")]
    assert sorted(moved) == sorted([*reasons, *(key.removesuffix(".json") for key in reasons)])
    for key in reasons:
        about = json.loads(s3.download(origin.bucket, key, 10_000)[0])
        content = bad[about["key"].removeprefix("inbox/tiles/")][0]
        assert s3.download(origin.bucket, key.removesuffix(".json"), len(content))[0] == content
        assert about["reason"] == result["reasons"][about["key"]]

    versions.update(first)
    assert versions.dataset_version(first, "tiles") == result["dataset_version"]
    records = [one for one in provenance.read(first, "tiles") if one["version"] == result["dataset_version"]]
    assert [one["sha256"] for one in records] == sorted(hashlib.sha256(content).hexdigest() for content in later)
    versions.dvc(first, "pull", "data/mvtec/tiles.dvc")
    for one in records:
        assert hashlib.sha256((first / "data/mvtec/tiles" / one["name"]).read_bytes()).hexdigest() == one["sha256"]
