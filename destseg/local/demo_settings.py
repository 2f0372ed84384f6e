"""The demo's own settings: what a CPU trains in minutes, and the remote on the demo's S3 server."""

from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from destseg.dataset.demo import CATEGORIES
from destseg.files import write_text
from destseg.ingest.add import SECTIONS
from destseg.local.environment import BUCKET
from destseg.settings import PARAMS

# Instead of the paper's, which are for one GPU: smaller images, fewer steps, a segmentation net a quarter as wide.
OVERRIDES: dict[str, dict[str, Any]] = {
    "image": {"size": 128},
    "teacher": {"source": "formula"},
    "student": {"steps": 200, "batch": 8},
    "segmentation": {"width": 64, "steps": 400, "batch": 8},
}
CATEGORY_OVERRIDES: dict[str, dict[str, dict[str, Any]]] = {"washer": {}, "fabric": {}}

_DVC_CONFIG = f"""[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = s3://{BUCKET}/dvc
"""


def write_settings(checkout: Path) -> None:
    """Puts them into params.yaml and .dvc/config of the demo's checkout, comments and other settings as they are."""
    yaml = YAML()
    yaml.width = 4096
    content = yaml.load((checkout / PARAMS).read_text(encoding="utf-8"))
    for section, values in OVERRIDES.items():
        content[section].update(values)
    content["categories"] = {
        category: {section: CATEGORY_OVERRIDES[category].get(section, {}) for section in SECTIONS}
        for category in CATEGORIES
    }
    text = StringIO()
    yaml.dump(content, text)
    write_text(checkout / PARAMS, text.getvalue())
    write_text(checkout / ".dvc" / "config", _DVC_CONFIG)
