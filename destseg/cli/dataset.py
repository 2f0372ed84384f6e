"""`destseg dataset <verb>`."""

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from destseg import Error
from destseg.cli.options import AsJson, Category, print_json, show_result

if TYPE_CHECKING:
    from destseg.presets.estimate import Estimate

log = logging.getLogger(__name__)
app = typer.Typer(help="Datasets in MVTec's layout, below data/mvtec.", no_args_is_help=True)


@app.command("demo")
def dataset_demo(
    out: Annotated[Path, typer.Option(help="Folder to write the categories into.")] = Path("demo-datasets"),
    seed: Annotated[int, typer.Option(help="The same seed renders the same photographs.")] = 0,
    normals: Annotated[int, typer.Option(min=2, help="Photographs of good parts for training, each category.")] = 60,
    size: Annotated[int, typer.Option(min=64, help="Side of the photographs in pixels.")] = 256,
) -> None:
    """Render the demo products, a washer and a woven fabric, as MVTec-format datasets."""
    from destseg.dataset.demo import CATEGORIES, render_dataset

    for category in CATEGORIES:
        count = render_dataset(out / category, category, seed=seed, normals=normals, size=size)
        print(f"{out / category}: {count} images")


@app.command("add")
def dataset_add(
    category: Category,
    source: Annotated[Path, typer.Option("--from", help="Folder in MVTec's, VisA's or BTAD's layout, or its archive.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Network and schedule: compact or paper. Unless given, a new category uses compact, or the top level "
            "of params.yaml where that is no preset's.",
            show_default=False,
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option(help="Say how long each preset would train here, by a few steps of it.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Copy a dataset below data/mvtec, track it with DVC and name the category in params.yaml."""
    from destseg.ingest.add import add

    added = add(category, source, preset=preset)
    if not as_json:
        print(added, flush=True)
    found, failure = _estimated(category) if estimate else (None, None)
    if as_json:
        training = dataclasses.asdict(found) if found else None
        print_json(dataclasses.asdict(added) | {"training": training, "training_unknown": failure})
    elif found:
        print(f"{found} `destseg preset use NAME {category}` changes the preset.")


def _estimated(category: str) -> tuple["Estimate | None", str | None]:
    """How long each preset trains, or why that is not known, which is no reason for the dataset not to be added."""
    try:
        from destseg.presets.estimate import estimate

        return estimate(category), None
    except (Error, ImportError, RuntimeError) as error:  # of torch: not there, or no device that it can use
        failure = str(error).partition("\n")[0]
        log.warning("%s is added; how long it would train could not be measured: %s", category, failure)
        return None, failure


@app.command("check")
def dataset_check() -> None:
    """Check that every category of params.yaml has a dataset (stage `datasets`)."""
    from destseg.dataset.catalogue import check

    print(f"categories: {', '.join(check())}")


@app.command("list")
def dataset_list(as_json: AsJson = False) -> None:
    """The categories of params.yaml, with their dataset version and number of images."""
    from destseg.ingest.add import list_datasets

    rows = list_datasets()
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        for row in rows:
            print(row)


@app.command("show")
def dataset_show(category: Category, as_json: AsJson = False) -> None:
    """The versions of a dataset, the newest first: when, how many files, who and why."""
    from destseg.ingest.history import history

    found = history(category)
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            print(one)


@app.command("diff")
def dataset_diff(
    category: Category,
    old: Annotated[
        str | None, typer.Argument(help="Version or git revision; the one before unless given.", show_default=False)
    ] = None,
    new: Annotated[
        str | None, typer.Argument(help="Version or git revision; the newest unless given.", show_default=False)
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a PNG with the photographs that came and went.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which images came and went between two versions of a dataset."""
    from destseg.ingest.history import diff

    found = diff(category, old, new)
    show_result(found, as_json)
    if sheet is not None:
        from destseg.ingest.contact_sheet import contact_sheet

        contact_sheet(found, sheet)


@app.command("remove")
def dataset_remove(
    category: Category,
    images: Annotated[list[str], typer.Argument(help="Names in the dataset, or SHA-256s.", show_default=False)],
    why: Annotated[str, typer.Option(help="The reason, kept in the commit's message.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Take images out of a dataset, as a new version; run it in a clean clone."""
    from destseg.ingest.recall import recall

    show_result(recall(category, images, why), as_json)
