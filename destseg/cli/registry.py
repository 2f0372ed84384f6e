"""The registry's verbs: register, due, compare, promote, turn-down, recalibrate, rollback, history and the others."""

import dataclasses
import datetime
from typing import Annotated

import typer

from destseg import Error
from destseg.cli.options import AsJson, Category, Listed, print_json, show_result
from destseg.text import printable

app = typer.Typer()
group = typer.Typer(help="The registry's models, experiments and grants.", no_args_is_help=True)
Why = Annotated[str, typer.Option(help="The reason, kept for ever with the version.", show_default=False)]
Accounts = list[str] | None
EXAMPLE = (
    "destseg registry init washer fabric --trainer trainer --quality ada --quality grace --ingest ingest --line line"
)
Who = Annotated[str | None, typer.Option(help="Who decides; the signed-in user unless given.", show_default=False)]

Replaces = Annotated[
    str | None,
    typer.Option(help="Version of the champion that you saw, or none; refused if it is another.", show_default=False),
]


@app.command()
def register(
    category: Category,
    as_json: AsJson = False,
) -> None:
    """Log the run and register the packaged model as challenger, once for the same data, settings and code."""
    from destseg.registry.register import register

    show_result(register(category), as_json)


@app.command()
def due(category: Listed, as_json: AsJson = False) -> None:
    """Say what a retraining has left to do for the dataset version that is checked out; change nothing."""
    from destseg.registry.due import due

    show_result(due(category), as_json)


@app.command()
def compare(
    category: Category,
    version: Annotated[int | None, typer.Option(help="Candidate version; the challenger unless given.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also where it was compared before.")] = False,
    policy: Annotated[
        bool, typer.Option("--policy", help="Compare if due; then promote the challenger if promotion.policy says so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a candidate and the champion anew on the dataset version that is checked out; the gates read it."""
    from destseg.registry.compare import compare
    from destseg.registry.policy import compare_by_policy

    if policy:
        if again or version is not None:
            raise Error("--policy decides about the challenger; leave out --again and --version")
        show_result(compare_by_policy(category), as_json)
    else:
        show_result(compare(category, version=version, again=again), as_json)


@app.command()
def promote(
    category: Category,
    why: Annotated[str, typer.Option(help="The reason, kept for ever with the version.", show_default=False)] = "",
    who: Who = None,
    version: Annotated[int | None, typer.Option(help="Candidate version; the challenger unless given.")] = None,
    override: Annotated[
        bool, typer.Option(help="Promote although a gate has failed or it was turned down; it is recorded.")
    ] = False,
    replaces: Replaces = None,
    comparison: Annotated[
        str | None,
        typer.Option(
            help="SHA-256 of the comparison.json that you decided by, or none; refused if it is another.",
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        bool, typer.Option("--policy", help="Promote the challenger only if promotion.policy of params.yaml says so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a candidate the champion, which the line loads."""
    from destseg.registry.policy import promote_by_policy
    from destseg.registry.promotion import promote

    if policy:
        if why or who or override or replaces or comparison or version is not None:
            raise Error(
                "--policy decides by params.yaml alone; leave out --why, --who, --version, --override, --replaces and "
                "--comparison"
            )
        show_result(promote_by_policy(category), as_json)
        return
    done = promote(
        category, why=why, who=who, version=version, override=override, replaces=replaces, compared=comparison
    )
    show_result(done, as_json)


@app.command("turn-down")
def turn_down(
    category: Category,
    why: Why,
    who: Who = None,
    version: Annotated[int | None, typer.Option(help="Candidate version; the challenger unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a candidate down, with the reason; it waits no more and is promoted by --override only."""
    from destseg.registry.turn_down import turn_down

    show_result(turn_down(category, why=why, who=who, version=version), as_json)


@app.command()
def recalibrate(
    category: Category,
    rate: Annotated[float, typer.Option(help="Share of the calibration images that may lie above the threshold.")],
    why: Why,
    who: Who = None,
    version: Annotated[int | None, typer.Option(help="Candidate version; the challenger unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Propose another threshold: a new candidate with the same weights, to be compared and decided on as any other."""
    from destseg.registry.recalibrate import recalibrate

    show_result(recalibrate(category, rate=rate, why=why, who=who, version=version), as_json)


@app.command()
def rollback(
    category: Category,
    why: Why,
    who: Who = None,
    to: Annotated[int | None, typer.Option(help="Released version; the champion before this one unless given.")] = None,
    replaces: Replaces = None,
    as_json: AsJson = False,
) -> None:
    """Make the champion before this one champion again, as a new version."""
    from destseg.registry.promotion import rollback

    show_result(rollback(category, why=why, who=who, to=to, replaces=replaces), as_json)


@app.command()
def history(
    category: Category,
    at: Annotated[datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Champion of that day.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Everything that was done, registrations too.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Say what was deleted, edited or moved by hand; exit code 2 if anything.")
    ] = False,
    files: Annotated[bool, typer.Option("--files", help="With --verify: download and compare the models.")] = False,
    as_json: AsJson = False,
) -> None:
    """Which model was champion when, who promoted it, and why."""
    if sum([at is not None, log, verify]) > 1 or (files and not verify):
        raise Error("--at, --log and --verify are questions of their own; --files belongs to --verify")
    if verify:
        _verify(category, files, as_json)
        return
    from destseg.registry.history import history, logged

    entries = logged(category) if log else history(category, at=at.date() if at else None)
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in entries])
    else:
        for entry in entries:
            print(printable(str(entry)))


def _verify(category: str, files: bool, as_json: bool) -> None:
    from destseg.registry.verify import verify

    found = verify(category, files=files)
    show_result(found, as_json)
    if found.errors:
        raise Error(f"the history of {category} is not as it was made: {len(found.errors)} errors; see above")


@app.command()
def health(
    category: Annotated[str | None, typer.Argument(help="All categories unless given.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """How old champion and data are, whether the threshold is sound, what waits; exit code 2 if there is an error."""
    from destseg.registry.health import report

    found = report(category)
    show_result(found, as_json)
    if found.severity == "error":
        wrong = [one.category for one in found.categories if one.severity == "error"]
        raise Error(f"not in order: {', '.join(wrong)}; see the findings")


@app.command()
def trace(
    what: Annotated[
        str, typer.Argument(help="models:/NAME@ALIAS, a package, an image, or its SHA-256.", show_default=False)
    ],
    images: Annotated[bool, typer.Option("--images", help="List each image with where it came from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Everything behind a model, down to its photographs; or every model that saw an image."""
    from destseg.registry.trace import Trace, trace

    found = trace(what)
    if images and not as_json and isinstance(found, Trace):
        print(found.with_images())
    else:
        show_result(found, as_json)


@group.command("init", epilog=f"Example: {EXAMPLE}")
def registry_init(
    categories: Annotated[list[str], typer.Argument(metavar="CATEGORY...", help="Their names.", show_default=False)],
    trainer: Annotated[Accounts, typer.Option(help="Account that registers candidates.", show_default=False)] = None,
    quality: Annotated[Accounts, typer.Option(help="Account that promotes and rolls back.", show_default=False)] = None,
    ingest: Annotated[Accounts, typer.Option(help="Account that asks what was trained.", show_default=False)] = None,
    line: Annotated[Accounts, typer.Option(help="Account that loads the champion.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Create models and experiments in MLflow and grant them to accounts, each repeatable; for an administrator."""
    from destseg.registry.init import init

    roles = {"trainer": trainer, "quality": quality, "ingest": ingest, "line": line}
    show_result(init(categories, {role: users or [] for role, users in roles.items()}), as_json)
