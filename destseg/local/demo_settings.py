"""The demo's own settings: what a CPU trains in minutes, and the remote on the demo's S3 server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from destseg.dataset.catalogue import SECTIONS
from destseg.dataset.demo import CATEGORIES
from destseg.edit import editing
from destseg.files import write_text
from destseg.local.environment import BUCKET
from destseg.presets.preset import load
from destseg.presets.use import write
from destseg.settings import PARAMS

PRESET = "compact"
# Squares of a quarter of the picture show as much of a defect, and cost a quarter; so few images need fewer textures,
# and rendered products fewer steps. The demo is to end within five minutes on two cores.
OVERRIDES: dict[str, dict[str, Any]] = {
    "texture": {"count": 128},
    "synthesis": {"crop": 128},
    "student": {"steps": 250},
    "segmentation": {"steps": 250},
}


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What is rendered, how much of it, and how it is trained."""

    categories: tuple[str, ...] = tuple(CATEGORIES)
    """Products that destseg.dataset.demo renders."""
    normals: int = 60
    """Photographs of good parts for training and calibration in the first dataset version."""
    test_normals: int = 20
    """Photographs of good parts in the test set."""
    defects_per_kind: int = 6
    """Photographs of each defect type in the test set."""
    batch: int = 24
    """Usable photographs in the batch that arrives in the inbox."""
    size: int = 256
    """Side of the photographs in pixels."""
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: OVERRIDES)
    """Of the sections of params.yaml."""


_DVC_CONFIG = f"""[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = s3://{BUCKET}/dvc
"""


def write_settings(checkout: Path, settings: DemoSettings) -> None:
    """Puts them into params.yaml and .dvc/config of the demo's checkout, comments and other settings as they are."""
    with editing(checkout / PARAMS) as params:
        write(params, load(PRESET))
        for section, values in settings.overrides.items():
            for name, value in values.items():
                params.put((section, name), value)
        categories: dict[str, dict[str, Any]] = {
            category: {section: {} for section in SECTIONS} for category in settings.categories
        }
        params.put(("categories",), categories)
    write_text(checkout / ".dvc" / "config", _DVC_CONFIG)
