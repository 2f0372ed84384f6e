"""`destseg try`: from a folder of photographs to a trained model and what it sees, in a folder of its own."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from destseg import Error
from destseg.dataset.accepted import accepted_path
from destseg.dataset.layout import GOOD, MEMORY, SEGMENTATION, STUDENT, TEACHER, build_dir, check_category
from destseg.dataset.traits import suggested
from destseg.presets.preset import Sections
from destseg.settings import PARAMS, read_section
from destseg.trial.checks import check, say_left_out
from destseg.trial.photographs import Photographs, category_of, opened
from destseg.trial.project import Project, working_in
from destseg.trial.result import SHEET, Tried, commands
from destseg.trial.settings import first_look, params

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do in the trial's folder, and the file that is there when it is done."""

    name: str
    doing: str
    output: Path
    act: Callable[[str], None]


def try_(folder: Path, *, out: Path | None = None, name: str | None = None, settings: Sections | None = None) -> Tried:
    """Checks the photographs, trains, measures and draws; what an earlier run has done for the same inputs stays.

    All is written below `out`, destseg-try-<category> unless given; nothing into `folder`. An Error has every mistake
    in the photographs, before anything trains. `settings` are sections of params.yaml, `first_look` unless given.
    """
    category = check_category(name or category_of(folder))
    place = out or Path(f"destseg-try-{category}")
    _refuse_nested(folder, place)
    project = Project(place)
    try:
        with project.held(), opened(folder, category, place) as photographs:
            return _tried(project, category, folder, photographs, settings or first_look())
    except KeyboardInterrupt:
        log.warning("interrupted; the same command goes on from here")
        raise


def _tried(project: Project, category: str, folder: Path, photographs: Photographs, settings: Sections) -> Tried:
    place = project.shown
    say_left_out(photographs)
    with _timed(project, "photographs"):
        _begin(project, category, photographs, settings)
    has_test = any(not name.startswith(("train/", f"test/{GOOD}/")) for name in photographs.files)
    adopt, score = commands(category, place, has_test)
    with working_in(place):
        steps = _steps(category, photographs, str(folder), str(place / PARAMS))
        for number, step in enumerate(steps, start=1):
            if step.name in project.record.done and step.output.exists():
                continue
            log.info("step %d of %d: %s", number, len(steps), step.doing)
            with _timed(project, step.name):
                step.act(category)
            project.finish(step.name)
        return Tried.read(category, place, project.record.seconds, adopt, score)


def _begin(project: Project, category: str, photographs: Photographs, settings: Sections) -> None:
    kept = project.kept_params()
    trained = [path for name, path in photographs.files.items() if name.startswith("train/")]
    normals_only = not any(name.startswith("ground_truth/") for name in photographs.files)
    text = params(category, settings, suggested(trained, settings), normals_only=normals_only)
    if kept:
        log.info("%s was changed by hand, and is kept as it is", project.shown / PARAMS)
    changes = project.begin(category, photographs, text)
    if changes:
        log.warning("starting over in %s: %s", project.shown, "; ".join(changes))
    elif "heatmaps" in project.record.done:
        log.info("an earlier run has done this; remove %s to repeat it", project.shown)
    elif project.record.done[1:]:
        log.info("going on after: %s", ", ".join(project.record.done))


def _steps(category: str, photographs: Photographs, where: str, settings: str) -> list[Step]:
    build = build_dir(category)
    return [
        Step(
            name="checks",
            doing=f"checking {len(photographs.files)} files",
            output=accepted_path(category),
            act=lambda category: check(category, photographs, where, settings),
        ),
        Step(name="teacher", doing="taking the teacher", output=build / TEACHER, act=_teacher),
        Step(
            name="student",
            doing="the first training, of the student",
            output=build / STUDENT,
            act=_student,
        ),
        Step(
            name="segmentation",
            doing="the second training, of the segmentation net",
            output=build / SEGMENTATION,
            act=_segmentation,
        ),
        Step(name="memory", doing="remembering normal places", output=build / MEMORY, act=_memory),
        Step(name="evaluation", doing="calibrating and measuring", output=build / "metrics.json", act=_evaluation),
        Step(name="package", doing="packaging the model", output=build / "package", act=_package),
        Step(name="heatmaps", doing="drawing heatmaps", output=Path(SHEET), act=_heatmaps),
    ]


def _teacher(category: str) -> None:
    from destseg.model.sources import TeacherSettings, fetch

    fetch(read_section("teacher", TeacherSettings, category=category), build_dir(category) / TEACHER)


def _student(category: str) -> None:
    from destseg.training.student import stage

    stage(category)


def _segmentation(category: str) -> None:
    from destseg.training.segmentation import stage

    stage(category)


def _memory(category: str) -> None:
    from destseg.training.memory import stage

    stage(category)


def _evaluation(category: str) -> None:
    from destseg.evaluation.acceptance import acceptance
    from destseg.evaluation.evaluate import evaluate
    from destseg.trial.sheet import MADE

    found = acceptance(category, build_dir(category) / MADE)
    evaluate(category, made=found.samples if found.synthetic else ())


def _package(category: str) -> None:
    from destseg.inference.package import package

    package(category)


def _heatmaps(category: str) -> None:
    from destseg.trial.sheet import sheet

    sheet(category, Path(SHEET))


@contextlib.contextmanager
def _timed(project: Project, step: str) -> Iterator[None]:
    """Adds what the step takes to what it took before, also when it is interrupted."""
    begun = time.monotonic()
    try:
        yield
    finally:
        taken = project.record.seconds
        taken[step] = taken.get(step, 0.0) + time.monotonic() - begun
        project.write()


def _refuse_nested(folder: Path, place: Path) -> None:
    given, own = folder.resolve(), place.resolve()
    if own.is_relative_to(given) or given.is_relative_to(own):
        inner, outer = (place, folder) if own.is_relative_to(given) else (folder, place)
        raise Error(f"{inner} lies in {outer}, and nothing may be written there; name a folder elsewhere with --out")
