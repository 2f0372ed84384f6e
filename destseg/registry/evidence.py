"""What a training leaves in build/<category>/, read for the registry: parameters, losses, metrics and the files."""

import configparser
import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.dataset.layout import build_dir
from destseg.model.named import NETWORK
from destseg.registry import images, integrity
from destseg.settings import PARAMS, read_params
from destseg.storage import stages, state, versions

PACKAGE = "package"
CARD = "model.json"
LINEAGE = "lineage/lineage.json"  # among the files of the run
LINEAGE_TAG = "lineage"  # of the version: that file's SHA-256
LOSSES = ("student", "segmentation")
FOLDERS = ("evaluation", "validation")
ABSENT = {"deleted", "not in cache"}  # DVC's words
SOURCES = ("destseg", "flows", "data", ".dvc", "dvc.yaml", "params.yaml")  # what a training and a comparison read


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a candidate comes from."""

    dataset_version: str
    """DVC's hash of data/mvtec/<category>."""
    dataset_url: str
    """Where that version lies in the DVC remote."""
    commit: str
    clean: bool
    """Whether the git tree was as committed, but for what `dvc repro` writes."""
    training_key: str
    """Hash of what the training read: data, params and code."""
    lock: dict[str, Any]
    """This category's entries of dvc.lock."""
    params: dict[str, Any]
    """params.yaml as this category sees it, flat: `student.steps` and so on."""
    teacher: dict[str, str]
    """Its metadata: source, SHA-256, backbone, licence."""
    network: str = NETWORK
    """As the model's card says; params.yaml may say another where the weights were imported."""


def lineage(category: str, root: Path) -> Lineage:
    """The lineage of what stands in build/<category>; an Error when a stage has not run."""
    dataset_version, found = versions.dataset_version(root, category), card(category, root)
    return Lineage(
        dataset_version=dataset_version,
        dataset_url=_dataset_url(root, dataset_version),
        commit=versions.head(root),
        clean=is_clean(root),
        training_key=stages.training_key(root, category),
        lock=stages.lock_entries(root, category),
        params=resolved_params(category, root),
        teacher={str(key): str(value) for key, value in found["teacher"].items()},
        network=str(found.get("network", NETWORK)),
    )


def is_clean(root: Path) -> bool:
    """Whether what a training or a comparison reads is as committed."""
    return not versions.git(root, "status", "--porcelain", "--", *SOURCES).strip()


def check_current(category: str, root: Path) -> None:
    """An Error unless build/<category>/ is what the present data, params and code give, by `dvc status`.

    Results that DVC has removed or not downloaded are no matter: what is registered is read, and must be there.
    """
    status = state.changes(root, *stages.names(root, category))
    changed = sorted({stage for stage, found in status.items() if not set(_leaves(found)) <= ABSENT})
    if changed:
        raise Error(
            f"build/{category} is not what data, params.yaml and code give now (changed: {', '.join(changed)}); "
            f"run `dvc repro` before `destseg register {category}`"
        )


def package(category: str, root: Path) -> tuple[Path, dict[str, str]]:
    """(folder, SHA-256s) of the package, the ones that its card names compared with what is there."""
    folder = build_dir(category, root) / PACKAGE
    named: dict[str, str] = card(category, root)["files"]
    found = integrity.digests(folder)
    integrity.check(folder, found | named, of=str(folder))
    return folder, found


def card(category: str, root: Path) -> dict[str, Any]:
    """The model's card, as `destseg package` wrote it."""
    path = build_dir(category, root) / PACKAGE / CARD
    content = _read_json(path)
    if missing := {"files", "teacher", "category"} - content.keys():
        raise Error(
            f"{path} has no {', '.join(sorted(missing))}; expected what `destseg package` wrote: `dvc repro` it"
        )
    if content["category"] != category:
        raise Error(f"{path} is of category {content['category']!r}, expected {category!r}")
    return content


def metrics(category: str, root: Path) -> dict[str, float]:
    """The numbers of metrics.json."""
    content = _read_json(build_dir(category, root) / "metrics.json")
    return {
        name: float(value)
        for name, value in content.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def losses(category: str, root: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every column of the stages' loss tables: `student/loss`, `segmentation/focal`, ..."""
    series: dict[str, list[tuple[int, float]]] = {}
    for stage in LOSSES:
        path = build_dir(category, root) / f"{stage}-loss.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    step = int(row.pop("step"))
                    for column, value in row.items():
                        series.setdefault(f"{stage}/{column}", []).append((step, float(value)))
        except FileNotFoundError:
            raise Error(f"{path} does not exist; run `dvc repro` first") from None
        except (KeyError, ValueError, TypeError) as error:
            raise Error(f"{path} cannot be read ({error}); expected a column `step` and numbers") from None
    return series


def collect(category: str, root: Path, found: Lineage, into: Path) -> None:
    """Copies what belongs to the record into the empty folder `into`: reports, pictures, tables, lineage."""
    build = build_dir(category, root)
    for folder in FOLDERS:
        if (build / folder).is_dir():
            shutil.copytree(build / folder, into / folder)
    for path in (build / "metrics.json", build / "calibration.json", *(build / f"{name}-loss.csv" for name in LOSSES)):
        if path.is_file():
            shutil.copyfile(path, into / path.name)
    target = into / "lineage"
    target.mkdir()
    shutil.copyfile(root / PARAMS, target / PARAMS.name)
    (into / LINEAGE).write_text(json.dumps(vars(found), indent=2, sort_keys=True), encoding="utf-8")
    images.write(into / images.LIST, seen_images(category, root))


def seen_images(category: str, root: Path) -> list[images.SeenImage]:
    """The images that trained, calibrated and tested the package."""
    return images.seen(category, root, str(card(category, root).get("training_images", "")))


def resolved_params(category: str, root: Path) -> dict[str, Any]:
    """Every setting of params.yaml with this category's overrides on top, under flat names."""
    content = read_params(root / PARAMS)
    overrides = (content.pop("categories", None) or {}).get(category) or {}
    merged = {
        section: {**value, **(overrides.get(section) or {})} if isinstance(value, Mapping) else value
        for section, value in {**{name: {} for name in overrides}, **content}.items()
    }
    return dict(_flat(merged, ""))


def params_hash(params: Mapping[str, Any]) -> str:
    """SHA-256 of the resolved parameters."""
    return hashlib.sha256(json.dumps(dict(sorted(params.items())), sort_keys=True).encode()).hexdigest()


def _dataset_url(root: Path, dataset_version: str) -> str:
    """Where DVC's default remote holds this version, by DVC's own layout; the folder itself when there is no remote."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(root / ".dvc/config", encoding="utf-8")
    remote = config.get("core", "remote", fallback="")
    base = config.get(f"'remote \"{remote}\"'", "url", fallback=str((root / ".dvc/cache").absolute()))
    return f"{base.rstrip('/')}/files/md5/{dataset_version[:2]}/{dataset_version[2:]}"


def _leaves(status: Any) -> Iterator[str]:
    if isinstance(status, str):
        yield status
    else:
        for item in status.values() if isinstance(status, Mapping) else status:
            yield from _leaves(item)


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Error(f"{path} does not exist; run `dvc repro` first") from None
    except ValueError as error:
        raise Error(f"{path} cannot be read as JSON: {error}; run `dvc repro` again") from None
    if not isinstance(content, dict):
        raise Error(f"{path} holds {type(content).__name__}, expected a mapping; run `dvc repro` again")
    return content
