"""`destseg dataset <verb>`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from destseg.cli.options import AsJson, Category, print_json

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
    source: Annotated[Path, typer.Option("--from", help="Folder in MVTec's layout: train/good, test/<kind>, ...")],
) -> None:
    """Copy a dataset below data/mvtec, track it with DVC and name the category in params.yaml."""
    from destseg.ingest.add import add

    print(add(category, source))


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
