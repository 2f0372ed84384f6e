"""The house keeps its floors, and the torch-only rooms run on a bare GPU machine."""

import ast
import configparser
import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BARE = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors", "pyyaml")
TORCH_ONLY = ("model", "dataset", "training", "inference", "bench")
OWNERS = {
    "mlflow": "destseg/registry",
    "great_expectations": "destseg/validation",
    "prefect": "flows",
    "boto3": "destseg/storage",
    "botocore": "destseg/storage",
    "s3fs": None,
    "dvc": "destseg/storage",
    "fastapi": "destseg/review",
    "starlette": "destseg/review",
    "uvicorn": "destseg/review",
}


def module_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def section(name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser[f"importlinter:contract:{name}"]


def test_the_import_contracts_are_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_room_stands_on_a_floor() -> None:
    rooms = {f"destseg.{path.parent.name}" for path in (ROOT / "destseg").glob("*/__init__.py")}
    rooms |= {name_of(path) for path in (ROOT / "destseg").glob("*.py")} - {"destseg"}
    on_floors = section("floors")["layers"].replace("|", " ").replace("(", " ").replace(")", " ").split()
    assert sorted(rooms - set(on_floors)) == []


def test_every_torch_only_room_is_under_the_contract() -> None:
    named = section("torch-only")["source_modules"].split()
    assert [room for room in TORCH_ONLY if f"destseg.{room}" not in named] == []


@pytest.mark.parametrize(("library", "owner"), OWNERS.items())
def test_a_library_is_imported_only_in_the_room_named_for_it(library: str, owner: str | None) -> None:
    importing = [
        path.relative_to(ROOT).as_posix()
        for path in module_files("destseg", "flows")
        if library in imported_libraries(path)
    ]
    assert [path for path in importing if owner is None or not path.startswith(owner + "/")] == []


def imported_libraries(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def closure(names: tuple[str, ...]) -> set[str]:
    """The distributions that installing `names` on this platform brings with it."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def test_the_torch_only_rooms_import_and_train_with_nothing_but_the_libraries_of_a_bare_machine() -> None:
    distributions = closure(BARE)
    missing = {
        name
        for name, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in distributions for owner in owners)
    } - {"destseg"}
    assert {"mlflow", "pandas", "boto3", "typer", "flows"} <= missing
    rooms = module_files(*(f"destseg/{room}" for room in TORCH_ONLY))
    single = ("destseg/__init__.py", "destseg/settings.py", "destseg/files.py", "destseg/evaluation/metrics.py")
    modules = [name_of(path) for path in [*(ROOT / name for name in single), *rooms]]
    result = subprocess.run(
        [sys.executable, ROOT / "tests/bare.py", json.dumps(sorted(missing)), *modules],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{len(modules)} modules imported, trained\n"


def test_importing_destseg_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import destseg; print(sorted(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "['destseg']\n"


def test_the_review_page_serves_without_what_takes_seconds_to_load() -> None:
    """Nor does MLflow's library, which keeps one identity per process, come near the credentials of its visitors."""
    code = "import sys, destseg.review.serve; print({'mlflow', 'torch', 'dvc'} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
