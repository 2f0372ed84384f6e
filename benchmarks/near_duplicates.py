"""How alike the images of datasets are, and copies of them: where validation.near_duplicate comes from.

    python -m benchmarks.near_duplicates DIR...        # folders in MVTec's layout: results/near_duplicates.json

Each number is a difference as a share of the dataset's median difference (destseg/validation/likeness.py).
"""

import argparse
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from destseg.dataset.layout import samples
from destseg.dataset.manifest import thumbnail
from destseg.validation.likeness import gradients_of, usual

RESULTS = Path(__file__).parent / "results" / "near_duplicates.json"
CLOSEST = 5
COPIED = 60  # images of which copies are made


def jpeg(image: Image.Image) -> Image.Image:
    """In JPEG's quality 60."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream)


def smaller(image: Image.Image) -> Image.Image:
    """Three quarters as wide and high."""
    return image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)


def darker(image: Image.Image) -> Image.Image:
    """Nine tenths as bright."""
    return image.point(lambda grey: grey * 0.9)


COPIES: tuple[Callable[[Image.Image], Image.Image], ...] = (jpeg, smaller, darker)


def encoded(image: Image.Image) -> str:
    """As the manifest has it."""
    return base64.b64encode(thumbnail(image).tobytes()).decode()


def measured(folder: Path) -> dict[str, Any]:
    """One row: the closest pairs by name, and the median and largest difference of each kind of copy."""
    paths = [sample.path for split in ("train", "test") for sample in samples(folder, split)]
    images = [Image.open(path).convert("L") for path in paths]
    gradients = gradients_of([encoded(image) for image in images])
    typical = usual(gradients)
    differences = np.sqrt(np.maximum(0, 2 - 2 * gradients @ gradients.T)) / typical
    first, second = np.triu_indices(len(paths), 1)
    order = np.argsort(differences[first, second])[:CLOSEST]
    closest = [
        {
            "difference": round(float(differences[i, j]), 3),
            "pair": [paths[k].relative_to(folder).as_posix() for k in (i, j)],
        }
        for i, j in zip(first[order], second[order], strict=True)
    ]
    chosen = np.random.default_rng(0).permutation(len(paths))[:COPIED]
    copies = {}
    for make in COPIES:
        copied = gradients_of([encoded(make(images[index])) for index in chosen])
        apart = np.linalg.norm(copied - gradients[chosen], axis=1) / typical
        copies[make.__name__] = {"median": round(float(np.median(apart)), 3), "max": round(float(apart.max()), 3)}
    return {"dataset": folder.name, "images": len(paths), "closest": closest, "copies": copies}


def main() -> None:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    rows = [measured(folder) for folder in parser.parse_args().folders]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print("| dataset | images | closest pairs | JPEG 60, median and most | size 3/4 | light 9/10 |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        closest = ", ".join(f"{pair['difference']:.3f}" for pair in row["closest"])
        copies = " | ".join(f"{copy['median']:.3f}, {copy['max']:.3f}" for copy in row["copies"].values())
        print(f"| {row['dataset']} | {row['images']} | {closest} | {copies} |")


if __name__ == "__main__":
    main()
