"""Each stage of dvc.yaml depends on the code that it runs, all of it and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from destseg.cli import app
from destseg.storage import stages

from .imports import ROOT, reached

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
OUTS = ("outs", "metrics", "plots")


def verbs(group: typer.Typer, prefix: str = "") -> dict[str, Callable[..., Any]]:
    """From `dataset check` to dataset_check: each command, and the function behind it."""
    found: dict[str, Callable[..., Any]] = {}
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.callback.__name__
        found[prefix + (command.name or name.replace("_", "-"))] = command.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        found |= verbs(inner.typer_instance, f"{prefix}{inner.name} " if inner.name else prefix)
    return found


def definition(stage: str) -> dict[str, list[str]]:
    return STAGES[stage].get("do", STAGES[stage])


def verb_of(stage: str) -> Callable[..., Any]:
    command = str(definition(stage)["cmd"]).removeprefix("python -m destseg ")
    return next(function for verb, function in verbs(app).items() if f"{command} ".startswith(f"{verb} "))


def code_deps(stage: str) -> list[str]:
    return [dep for dep in definition(stage)["deps"] if Path(dep).parts[0] in ("destseg", "flows")]


def covers(dep: str, path: str) -> bool:
    return path == dep or path.startswith(f"{dep}/")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_a_verb_of_the_command_line(stage: str) -> None:
    assert str(definition(stage)["cmd"]).startswith("python -m destseg ")
    assert verb_of(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reruns_when_any_code_that_it_runs_has_changed(stage: str) -> None:
    deps = code_deps(stage)
    missing = sorted(path for path in reached(verb_of(stage)) if not any(covers(dep, path) for dep in deps))
    assert missing == [], f"add these to the deps of stage {stage} in dvc.yaml"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_does_not_rerun_for_code_that_it_never_runs(stage: str) -> None:
    run = reached(verb_of(stage))
    unused = [dep for dep in code_deps(stage) if not any(covers(dep, path) for path in run)]
    assert unused == [], f"remove these from the deps of stage {stage} in dvc.yaml"


def test_the_stages_of_a_category_need_nothing_that_none_of_them_made_before() -> None:
    made: set[str] = set()
    for name in stages.names(ROOT, "washer"):
        stage = yaml.safe_load(json.dumps(definition(name.partition("@")[0])).replace("${item.category}", "washer"))
        needed = [dep for dep in stage["deps"] if dep.startswith("build/")]
        assert [dep for dep in needed if not any(covers(out, dep) for out in made)] == [], name
        made |= {out if isinstance(out, str) else next(iter(out)) for kind in OUTS for out in stage.get(kind, [])}
    assert "build/washer/package" in made


def test_every_dependency_on_code_exists() -> None:
    assert [dep for stage in STAGES for dep in code_deps(stage) if not (ROOT / dep).exists()] == []


def test_bytecode_is_no_part_of_a_folder_that_a_stage_depends_on() -> None:
    assert "__pycache__/" in (ROOT / ".dvcignore").read_text(encoding="utf-8").split(), (
        "running a stage writes __pycache__ into the folders it depends on, so that the next `dvc repro` repeats it"
    )
