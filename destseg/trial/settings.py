"""params.yaml of a trial: the preset's settings, and what the photographs themselves say."""

from collections.abc import Mapping
from typing import Any

import yaml

from destseg.dataset.catalogue import SECTIONS

Settings = Mapping[str, Mapping[str, Any]]
HEAD = """\
# Written by `destseg try`, and read by it. What you change here counts from the next run on, which then starts over.
"""
COMPACT: Settings = {
    "teacher": {"source": "efficientnet-lite0"},
    "synthesis": {"own_share": 0.5},
    "student": {
        "network": "compact",
        "reduction": "mean",
        "steps": 400,
        "batch": 8,
        "optimiser": "adamw",
        "lr": 0.002,
        "encoder_lr_share": 0.3,
        "schedule": "cosine",
    },
    "segmentation": {
        "width": 48,
        "steps": 400,
        "batch": 8,
        "optimiser": "adamw",
        "lr_res": 0.002,
        "lr_head": 0.002,
        "schedule": "cosine",
    },
}


def params(category: str, settings: Settings, *, grey: bool, normals_only: bool) -> str:
    """The text of params.yaml: `settings` for all, the rest for the category."""
    own: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    if grey:
        own["synthesis"]["grey"] = True
    if normals_only:
        own["validation"]["normals_only"] = True
    content = {"seed": 0, **{name: dict(section) for name, section in settings.items()}, "categories": {category: own}}
    return HEAD + yaml.safe_dump(content, sort_keys=False)
