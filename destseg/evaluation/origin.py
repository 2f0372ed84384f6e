"""Where a model and the images of its report come from, read from the files that `evaluate` itself depends on.

Neither the git commit nor the date is in it: DVC gives back an earlier report where the inputs are the same, and that
would name another commit. They are recorded with the registered version (registry/evidence.py).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from destseg import Error, __version__, files
from destseg.dataset.accepted import Accepted, accepted_path
from destseg.dataset.layout import MEMORY, SEGMENTATION, STUDENT, TEACHER, build_dir
from destseg.model.weights import read_metadata
from destseg.storage import versions

_UNTRACKED = "none (the dataset is not tracked by DVC)"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The lineage of one evaluation."""

    category: str
    dataset_version: str
    network: str
    """paper or compact (student.network)."""
    teacher: Mapping[str, str]
    """Its metadata: `source`, `sha256` of the file that it came from, `backbone` and `licence`."""
    training_images: int
    calibration_images: int
    files: Mapping[str, str]
    """SHA-256 of each part of the model and of accepted.json, the list of its images."""
    settings: Mapping[str, Any]
    """`section.setting` of each part as its own weights name them, and of the evaluation."""
    unknown: list[str]
    """Parts whose weights name no settings, such as imported ones."""
    warnings: list[str]
    """What the validation of this dataset version doubted."""
    destseg: str
    """Version of this software."""

    @property
    def tracked(self) -> bool:
        """Whether the images are a dataset version."""
        return self.dataset_version != _UNTRACKED


def origin(category: str, network: str, teacher: Mapping[str, str], accepted: Accepted, **evaluation: Any) -> Origin:
    """The lineage of what stands in build/<category>; `evaluation` are the settings of the evaluation, by section."""
    build = build_dir(category)
    parts = (build / TEACHER, build / STUDENT, build / SEGMENTATION, build / MEMORY)
    known = {path.name: _settings(path) for path in parts[1:]}
    return Origin(
        category=category,
        dataset_version=_dataset_version(category),
        network=network,
        teacher=teacher,
        training_images=len(accepted.training),
        calibration_images=len(accepted.calibration),
        files={path.name: files.sha256(path) for path in (*parts, accepted_path(category))},
        settings=_merged({**known, "evaluation": _flat({k: asdict(v) for k, v in evaluation.items()})}),
        unknown=[name for name, settings in known.items() if not settings],
        warnings=_warnings(build / "validation/validation.json"),
        destseg=__version__,
    )


def _warnings(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["findings"]
        return [f"{one['file'] or 'dataset'}: {one['text']}" for one in found if one["severity"] == "warning"]
    except FileNotFoundError:  # evaluated by hand
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise Error(
            f"{path} cannot be read ({error!r}); expected what `destseg validate` wrote, run it again"
        ) from None


def _dataset_version(category: str) -> str:
    tracked = versions.pointer(category).is_file()
    return versions.dataset_version(Path(), category) if tracked else _UNTRACKED


def _settings(path: Path) -> dict[str, Any]:
    """What the stage that trained these weights wrote into them (training/prepare.py)."""
    try:
        return _flat(json.loads(read_metadata(path).get("settings", "{}")))
    except (ValueError, AttributeError):
        raise Error(f"{path} has settings that cannot be read, expected a JSON object; train it again") from None


def _flat(sections: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for section, value in sections.items():
        flat |= (
            {f"{section}.{name}": v for name, v in value.items()} if isinstance(value, Mapping) else {section: value}
        )
    return flat


def _merged(by_part: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Every setting once; where parts disagree, each value with the part that has it."""
    merged: dict[str, Any] = {}
    for name in dict.fromkeys(name for settings in by_part.values() for name in settings):
        values = {part: settings[name] for part, settings in by_part.items() if name in settings}
        first = next(iter(values.values()))
        agree = all(value == first for value in values.values())
        merged[name] = first if agree else ", ".join(f"{value} ({part})" for part, value in values.items())
    return merged
