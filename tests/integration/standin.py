"""Stands in for training, scoring and packaging in tests and simulations of the orchestration: a timed run.

`python standin.py STAGE CATEGORY` in a workspace writes what that stage would; section `standin` of params.yaml says
how long `student` takes, whether it fails, and whether it is the real training after all. Weights are a function of the
accepted images: a rerun gives the same.
"""

import hashlib
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import yaml

LOG = "STANDIN_LOG"
"""Variable that names a file: a line of JSON for each training, when it began and ended, and on which images."""


def main(stage: str, category: str) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    build = Path("build") / category
    if stage == "validate":
        validate(build, category)
    elif stage == "student":
        student(build, category, {**params["standin"], **(params["categories"][category] or {}).get("standin", {})})
    elif stage == "evaluate":
        evaluate(build)
    else:
        package(build, category)


def validate(build: Path, category: str) -> None:
    images = sorted((Path("data/mvtec") / category / "train/good").iterdir())
    named = [(f"train/good/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()) for path in images]
    accepted = {"format": 1, "category": category, "training": named, "calibration": []}
    (build / "validation").mkdir(parents=True, exist_ok=True)
    (build / "accepted.json").write_text(json.dumps(accepted))
    found = {"name": "count", "severity": "error", "sentence": "there are images", "success": True, "observed": "some"}
    verdict = {"accepted": True, "warnings": 0, "expectations": [found]}
    (build / "validation/validation.json").write_text(json.dumps(verdict))


def student(build: Path, category: str, settings: dict[str, Any]) -> None:
    if settings["real"]:
        for command in (["teacher", "fetch", category], ["student", category]):
            subprocess.run([sys.executable, "-m", "destseg", *command], check=True)
        (build / "segmentation-loss.csv").write_text("step,focal\n0,1.0\n")
        return
    begun, started = time.monotonic(), time.time()
    while (left := begun + settings["seconds"] - time.monotonic()) > 0:
        print(f"{category}: training, {left:.0f} s left", flush=True)
        time.sleep(min(left, 1.0))
    if LOG in os.environ:
        images = [sha for _, sha in json.loads((build / "accepted.json").read_text())["training"]]
        entry = {"category": category, "begun": started, "ended": time.time(), "images": images}
        with Path(os.environ[LOG]).open("a") as file:
            file.write(json.dumps(entry) + "\n")
    if settings["fails"]:
        raise SystemExit(f"{category}: the stand-in was told to fail")
    (build / "student.safetensors").write_bytes(hashlib.sha256((build / "accepted.json").read_bytes()).digest())
    (build / "student-loss.csv").write_text("step,loss\n0,1.0\n1,0.5\n")
    (build / "segmentation-loss.csv").write_text("step,focal\n0,1.0\n1,0.5\n")


def evaluate(build: Path) -> None:
    (build / "evaluation" / "heatmaps").mkdir(parents=True, exist_ok=True)
    (build / "evaluation/heatmaps/scratch-0.png").write_bytes(_picture())
    tested = {"name": "test/scratch/0.png", "sha256": "0" * 64, "kind": "scratch", "score": 0.5, "anomalous": True}
    (build / "evaluation/scores.json").write_text(json.dumps([tested]))
    (build / "evaluation/report.html").write_text("<p>report</p>")
    (build / "calibration.json").write_text("{}")
    (build / "metrics.json").write_text(json.dumps({"image_auroc": 0.97, "pixel_ap": 0.61}))


def package(build: Path, category: str) -> None:
    folder = build / "package"
    folder.mkdir(exist_ok=True)
    weights = (build / "student.safetensors").read_bytes()
    files = {"model.safetensors": weights, "model.onnx": b"graph of " + weights}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "parity.json").write_text(
        json.dumps({"tolerance": 1e-3, "largest_difference": dict.fromkeys(files, 0.0)})
    )
    card = {
        "format": 1,
        "category": category,
        "teacher": {"source": "formula", "sha256": "5" * 64},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "training_images": hashlib.sha256((build / "accepted.json").read_bytes()).hexdigest(),
        "destseg": "standin",
    }
    (folder / "model.json").write_text(json.dumps(card))


def compute(
    category: str, challenger: Path, champion: Path | None, into: Path, *, root: Path = Path(), **_: object
) -> dict[str, Any]:
    """In the place of destseg.evaluation.compare.compute: no model scores anything, the rest of `compare` is real.

    The project's file comparison.json says what came out; `factory.py` writes it.
    """
    assert challenger.is_dir()
    found: dict[str, Any] = json.loads((root / "comparison.json").read_text())
    if champion is None:
        found |= {"champion": None, "differences": {}}
    (into / "gallery.zip").write_bytes(b"no pictures")
    return found | {"category": category}


def _picture() -> bytes:
    """A grey PNG of 96 x 32 pixels, without Pillow, whose import would cost more than the rest."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(96)) for _ in range(32))
    header = struct.pack(">IIBBBBB", 96, 32, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    main(*sys.argv[1:])
