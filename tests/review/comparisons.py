"""A comparison made by hand, with a gallery of real pictures: what the page is given to show."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = {"good": 20, "dent": 12, "scratch": 8}
ADDED = 12  # pictures on the contact sheet


def model(version: int, *, caught: dict[str, int], false_rejects: int, metrics: dict[str, float | None]) -> dict:
    """A model's part of comparison.json."""
    return {
        "address": f"models:/destseg-washer/{version}",
        "version": version,
        "dataset_version": "92" * 16 + ".dir",
        "commit": "c" * 40,
        "teacher": {"source": "formula", "sha256": "5" * 64},
        "metrics": metrics,
        "curves": curves(sum(caught.values())),
        "kinds": {kind: {"images": KINDS[kind], "caught": count} for kind, count in caught.items()},
        "false_rejects": {"count": false_rejects, "images": 20, "rate": false_rejects / 20, "low": 0.001, "high": 0.25},
        "calibration": {
            "threshold": 0.5,
            "target_rate": 0.05,
            "provable_rate": 0.14,
            "confidence": 0.95,
            "images": 20,
            "heat_low": 0.1,
            "heat_high": 1.0,
        },
        "latency_ms": 21.5,
    }


def curves(caught: int) -> dict[str, list[list[float]]]:
    """Curves of a model: the more defects it catches, the nearer to the best corner."""
    steps = np.linspace(0, 1, 41)
    found = {"image_roc": steps ** (1 / (caught - 12)), "pixel_precision_recall": 1 - 0.9 * steps ** (caught - 12)}
    return {name: np.stack([steps, values], axis=1).round(4).tolist() for name, values in found.items()}


def content(category: str, *, champion: int | None = None, images: int = 40, **changes: Any) -> dict[str, Any]:
    """comparison.json of `images` images: the challenger newly misses a dent, newly catches one and three scratches."""
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    rows = []
    for index in range(max(images, len(kinds))):
        kind = kinds[index % len(kinds)]
        place = index % 7 / 7
        rows.append(
            {
                "name": f"test/{kind}/{index:03}.png",
                "kind": kind,
                "sha256": f"{index:064x}",
                "challenger": {"score": 0.2 + place, "rejected": kind != "good" or index == 3, "place": place},
                "champion": champion and {"score": 0.3 + place, "rejected": kind != "good", "place": place},
            }
        )
    missed, caught = rows[20], [rows[21], *rows[32:35]]
    missed["challenger"] |= {"rejected": False, "place": 0.1}
    for row in caught if champion else []:
        row["champion"] |= {"rejected": False}
    ours = {"image_auroc": 0.981, "pixel_ap": 0.744, "pro": None}
    theirs = {"image_auroc": 0.952, "pixel_ap": 0.751, "pro": None}
    points = [
        {
            "rate": rejected / 20,
            "provable_rate": rejected / 20 + 0.1,
            "threshold": 0.9 - rejected / 20,
            "false_rejects": rejected,
            "escapes": {"dent": max(0, 6 - 2 * rejected), "scratch": max(0, 3 - rejected)},
        }
        for rejected in range(6)
    ]
    return {
        "category": category,
        "dataset_version": "92" * 16 + ".dir",
        "commit": "c" * 40,
        "made": "2026-11-20T08:15:00+00:00",
        "destseg": "0.1.0",
        "machine": "2 cores of a test",
        "synthetic": False,
        "clean": True,
        "pushed": True,
        "trained_on": {"challenger": [], "champion": None if champion is None else []},
        "kinds": dict(KINDS),
        "challenger": model(2, caught={"dent": 11, "scratch": 8}, false_rejects=1, metrics=ours),
        "champion": champion and model(champion, caught={"dent": 11, "scratch": 5}, false_rejects=0, metrics=theirs),
        "differences": {
            "image_auroc": {"champion": 0.952, "challenger": 0.981, "low": 0.004, "high": 0.061},
            "pixel_ap": {"champion": 0.751, "challenger": 0.744, "low": -0.031, "high": 0.016},
        }
        if champion
        else {},
        "verdict": "better on 9 of 20 defects, worse on 2 (1 newly missed), 1 false reject more",
        "better": [row["name"] for row in caught],
        "worse": [missed["name"]],
        "newly_missed": [missed["name"]] if champion else [],
        "newly_caught": [row["name"] for row in caught] if champion else [],
        "newly_rejected": ["test/good/003.png"] if champion else [],
        "newly_accepted": [],
        "changes": {
            "params": [{"name": "student.steps", "champion": 1200, "challenger": 2400}],
            "data": {
                "added": 310,
                "removed": 2,
                "added_names": [f"train/good/new-{index:03}.png" for index in range(60)],
                "removed_names": ["train/good/x.png", "train/good/y.png"],
                "sheet": [
                    {"name": f"train/good/new-{26 * index:03}.png", "sha256": f"{1000 + index:064x}"}
                    for index in range(ADDED if champion else 0)
                ],
                "from": "4d" * 16,
            },
            "code": {"champion": "a" * 40, "challenger": "b" * 40, "commits": ["3f2a91c Cosine"], "files": ["a.py"]},
            "unknown": {},
        },
        "images": rows[:images],
        "operating_points": points,
        "current": 1,
        **changes,
    }


def write(folder: Path, known: dict[str, Any], *, size: int = 64) -> Path:
    """comparison.json and gallery.zip of these images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(known), encoding="utf-8")
    rng = np.random.default_rng(0)
    roles = ("photo", "truth", "challenger", *(("champion",) if known["champion"] else ()))
    pictures = {role: [_picture(rng, size) for _ in range(4)] for role in roles}
    with zipfile.ZipFile(folder / "gallery.zip", "w", zipfile.ZIP_STORED) as archive:
        for index in range(len(known["images"])):
            for role in roles:
                archive.writestr(f"{index}/{role}.webp", pictures[role][index % 4])
        for index in range(len(known["changes"]["data"].get("sheet", ()))):
            archive.writestr(f"added/{index}.webp", pictures["photo"][index % 4])
    return folder


def _picture(rng: np.random.Generator, size: int) -> bytes:
    pixels = np.full((size, size, 3), rng.integers(60, 190, 3), dtype=np.uint8)
    row, column = rng.integers(0, size // 2, 2)
    pixels[row : row + size // 3, column : column + size // 3] = rng.integers(0, 255, 3)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", quality=80)
    return content.getvalue()
