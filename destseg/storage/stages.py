"""The stages of dvc.yaml for one category: their names, what a training by them depends on, what dvc.lock records."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.settings import parse, read_params
from destseg.storage import versions

_NOT_TRAINING = ("categories", "ingest", "promotion", "monitor")  # sections of params.yaml that change no trained model


def names(root: Path, category: str) -> list[str]:
    """What DVC calls the stages from the category's dataset to its package, in dvc.yaml's order, which is theirs.

    With these names DVC reads these stages alone; to find them behind `package` it reads those of all categories.
    """
    return [f"{name}@{category}" for name, stage in _read(root).items() if "matrix" in stage or "foreach" in stage]


def training_key(root: Path, category: str) -> str:
    """SHA-256 over what a training depends on: dataset version, resolved parameters, stages and their code at HEAD.

    Equal keys mean that the same was trained before; it takes no DVC and a fraction of a second. An Error where
    params.yaml lacks a section of the category that a stage names, which DVC refuses too.
    """
    stages, params = _stages(root, category), read_params(root / "params.yaml")
    _check_sections(stages, params, category)
    deps = {dep for stage in stages.values() for dep in stage["deps"]}
    # The dataset version stands for the data.
    code = sorted(dep for dep in deps if not Path(dep).is_relative_to(versions.DATASETS))
    known = {
        "dataset": versions.dataset_version(root, category),
        "params": _resolved(params, category),
        "stages": {name: stage["cmd"] for name, stage in stages.items()},
        "code": sorted(versions.git(root, "ls-tree", "HEAD", "--", *code).splitlines()) if code else [],
        "uncommitted": versions.git(root, "diff", "HEAD", "--", *code) if code else "",
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()


def _check_sections(stages: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any], category: str) -> None:
    own = f"categories.{category}."
    named = [param for stage in stages.values() for param in stage["params"] if param.startswith(own)]
    sections = dict.fromkeys(param.removeprefix(own).partition(".")[0] for param in named)
    overrides = (params.get("categories") or {}).get(category) or {}
    if missing := [section for section in sections if section not in overrides]:
        lacking = ", ".join(f"`{section}: {{}}`" for section in missing)
        raise Error(
            f"params.yaml lacks {lacking} below categories.{category}; write that there (empty, it overrides nothing)"
        )


def _resolved(params: Mapping[str, Any], category: str) -> dict[str, Any]:
    """params.yaml as this category sees it: its own overrides on top, nobody else's, without what trains nothing."""
    resolved = {name: section for name, section in params.items() if name not in _NOT_TRAINING}
    overrides = (params.get("categories") or {}).get(category) or {}
    for name, section in overrides.items():
        if name not in _NOT_TRAINING and section:
            resolved[name] = {**(resolved.get(name) or {}), **section}
    return resolved


def _stages(root: Path, category: str) -> dict[str, dict[str, Any]]:
    """Command, deps and params of dvc.yaml's stages, with this category in the places of their templates."""
    templates = re.compile(r"\$\{\s*(?:item(?:\.category)?|key)\s*\}")
    stages = {}
    for name, stage in _read(root).items():
        plain = stage.get("do", stage)
        parts = {key: plain.get(key) or [] for key in ("cmd", "deps", "params")}
        filled = json.loads(templates.sub(category, json.dumps(parts)))
        stages[name] = {
            "cmd": filled["cmd"],
            "deps": [_path(dep) for dep in filled["deps"]],
            "params": [param for param in filled["params"] if isinstance(param, str)],  # not those of another file
        }
    return stages


def _read(root: Path) -> dict[str, dict[str, Any]]:
    try:
        text = (root / "dvc.yaml").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Error(f"{root.resolve()} has no dvc.yaml; expected the root of a destseg repository") from None
    return (parse(text) or {}).get("stages") or {}


def _path(dep: str | Mapping[str, Any]) -> str:
    return dep if isinstance(dep, str) else str(next(iter(dep)))


def lock_entries(root: Path, category: str) -> dict[str, Any]:
    """dvc.lock's entries of this category's stages, by stage."""
    try:
        locked = parse((root / "dvc.lock").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Error(f"{root.resolve()} has no dvc.lock; run `dvc repro` first") from None
    stages = (locked or {}).get("stages") or {}
    return {name: stages[name] for name in sorted(stages) if name.endswith(f"@{category}")}
