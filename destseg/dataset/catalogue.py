"""The stage `datasets`: every category that params.yaml names has a dataset and the sections that DVC looks for."""

import json
from pathlib import Path

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.layout import BUILD, DATASETS, check_category
from destseg.files import write_text
from destseg.settings import PARAMS, read_params

# DVC refuses a stage whose params key is missing: each category holds these, empty where it overrides nothing.
SECTIONS = (
    "image",
    "split",
    "teacher",
    "synthesis",
    "student",
    "segmentation",
    "memory",
    "calibration",
    "validation",
)
OTHER_SECTIONS = ("ingest", "promotion", "monitor")  # of no stage


def check(root: Path = Path()) -> list[str]:
    """Names of the categories, also written to build/datasets.json; all that is missing is said in one Error."""
    categories = read_params(root / PARAMS).get("categories") or {}
    if not categories:
        raise Error(
            "no dataset yet: add one in MVTec's layout with `destseg dataset add CATEGORY --from DIR`, "
            "or see the whole job on rendered products with `make demo`"
        )
    wrong = [problem for name, overrides in categories.items() for problem in _problems(root, name, overrides or {})]
    if wrong := [*wrong, *_lacking(categories)]:
        raise Error("; ".join(wrong))
    names = sorted(categories)
    write_text(root / BUILD / "datasets.json", json.dumps(names) + "\n")
    return names


def _problems(root: Path, name: str, overrides: dict[str, object]) -> list[str]:
    path = root / DATASETS / check_category(name)
    found = []
    if not path.is_dir() and not path.with_name(f"{name}.dvc").is_file():
        found.append(
            f"category {name}: neither {path} nor {path}.dvc exists, run `destseg dataset add {name} --from DIR`"
        )
    elif not (root / provenance.path(name)).exists():
        found.append(
            f"category {name}: {provenance.path(name)} does not exist; restore it from git, or run "
            f"`destseg dataset add {name} --from DIR` with the folder that has its images"
        )
    for section in overrides:
        if section not in (*SECTIONS, *OTHER_SECTIONS):
            known = ", ".join((*SECTIONS, *OTHER_SECTIONS))
            found.append(f"category {name}: {section!r} cannot be overridden for one category, expected one of {known}")
    return found


def _lacking(categories: dict[str, dict[str, object] | None]) -> list[str]:
    """What to write in params.yaml, once for all categories that lack the same: a new section is missing in each."""
    lacking: dict[str, list[str]] = {}
    for name, overrides in categories.items():
        missing = [f"`{section}: {{}}`" for section in SECTIONS if section not in (overrides or {})]
        if missing:
            lacking.setdefault(", ".join(missing), []).append(f"categories.{name}")
    return [
        f"params.yaml lacks {missing} below {', '.join(places)}; write that there (empty, it overrides nothing)"
        for missing, places in lacking.items()
    ]
