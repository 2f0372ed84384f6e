"""The command line: each verb reads its arguments and makes one call into the library."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from destseg import Error, __version__
from destseg.cli import bench, dataset, preset, registry, review, teacher
from destseg.cli.options import AsJson, Category, Listed, Precision, show_result
from destseg.settings import read_section

app = typer.Typer(
    help="Defect inspection that learns from good parts: data versions, training, evaluation, promotion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dataset.app, name="dataset")
app.add_typer(preset.app, name="preset")
app.add_typer(teacher.app, name="teacher")
app.add_typer(bench.app, name="bench")
app.add_typer(registry.group, name="registry")
app.add_typer(registry.app)
app.add_typer(review.app)

Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        envvar="DESTSEG_DETERMINISTIC",
        help="On a GPU, repeat bit for bit, more slowly; a processor does anyway.",
    ),
]


@app.callback(invoke_without_command=True)
def start(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr, only warnings.")] = False,
) -> None:
    """Defect inspection that learns from good parts: data versions, training, evaluation, promotion."""
    if version:
        print(__version__)
        raise typer.Exit
    level = logging.WARNING if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("destseg").setLevel(level)


@app.command("try")
def try_(
    folder: Annotated[
        Path,
        typer.Argument(help="Photographs of good parts, or what `dataset add` reads.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where all is written; destseg-try-NAME unless given.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the category; after the folder unless given.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A first look: check photographs, train on them, and see what the model marks. Interrupted, it goes on."""
    from destseg.trial.checks import Refused
    from destseg.trial.run import try_

    try:
        show_result(try_(folder, out=out, name=name), as_json)
    except Refused as refusal:
        if as_json:
            show_result(refusal, as_json)
        raise


@app.command()
def demo() -> None:
    """The main job on this machine: servers, demo datasets, ingest, training, promotion and scoring, in .demo/."""
    from destseg.local.demo import demo

    print(demo())


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Where everything is kept; made when it is not there.")] = Path(".demo"),
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing: say whether what was started is well, by exit code 0 or 1.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Keep S3, MLflow, Prefect and its workers running on a folder, the demo's or your own, until Ctrl-C."""
    if as_json and not check:
        raise typer.BadParameter("--json belongs to --check", param_hint="--json")
    if check:
        from destseg.local.check import check as look

        found = look(folder=folder)
        show_result(found, as_json)
        raise typer.Exit(0 if found.well else 1)
    from destseg.local.up import up

    up(folder=folder)


@app.command()
def ingest(category: Listed, as_json: AsJson = False) -> None:
    """Turn what waits in the inbox into a new dataset version; run it in a clean clone."""
    from destseg.ingest.batch import IngestSettings, ingest
    from destseg.storage.s3 import bucket_name

    settings = read_section("ingest", IngestSettings, category=category)
    show_result(ingest(category, root=Path(), bucket=bucket_name(), settings=settings), as_json)


@app.command()
def validate(category: Listed, as_json: AsJson = False) -> None:
    """Check a dataset and share out its normal images (stage `validate`)."""
    from destseg.validation.validate import validate
    from destseg.validation.verdict import Rejected

    try:
        show_result(validate(category), as_json)
    except Rejected as refusal:
        show_result(refusal.verdict, as_json)
        raise Error(refusal.summary) from None


@app.command()
def student(category: Listed, deterministic: Deterministic = False) -> None:
    """Train the denoising student (stage `student`); killed, it goes on where it was."""
    from destseg.training.student import stage

    stage(category, deterministic=deterministic)


@app.command()
def segmentation(category: Listed, deterministic: Deterministic = False) -> None:
    """Train the segmentation net (stage `segmentation`); killed, it goes on where it was."""
    from destseg.training.segmentation import stage

    stage(category, deterministic=deterministic)


@app.command()
def memory(category: Listed) -> None:
    """Keep patches of normal images, to compare with (stage `memory`)."""
    from destseg.training.memory import stage

    stage(category)


@app.command()
def evaluate(category: Listed, as_json: AsJson = False) -> None:
    """Calibrate on held-out normal images, measure on the test set, write the report (stage `evaluate`)."""
    from destseg.evaluation.evaluate import evaluate

    show_result(evaluate(category), as_json)


@app.command()
def package(category: Listed) -> None:
    """Collect the model's files, export ONNX and check that it scores alike (stage `package`)."""
    from destseg.inference.package import package

    package(category)


@app.command("import-checkpoint")
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="A checkpoint in the published layout.", show_default=False)],
    category: Category,
) -> None:
    """Take a published checkpoint as this category's model, to evaluate and to package."""
    from destseg.inference.checkpoint import import_checkpoint

    print(import_checkpoint(file, category))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Folder, .onnx file, or models:/destseg-<category>@champion.")],
    images: Annotated[list[Path], typer.Argument(help="Photographs to score, or folders of them.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for scores.jsonl and the heatmaps.")] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of the convolutions. The threshold belongs to float32 scores; bfloat16 is faster on hardware that "
            "has it and shifts each score a little, so that images near the threshold may get the other verdict. "
            "auto: bfloat16 where the hardware is faster with it."
        ),
    ] = "float32",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images at once; what suits the device unless given.", show_default=False)
    ] = None,
) -> None:
    """Score photographs: one line of JSON each on stdout, heatmaps in --out."""
    from destseg.evaluation.predict import predict
    from destseg.registry.addresses import resolve

    for line in predict(resolve(model), images, out, batch=batch, precision=precision):
        print(json.dumps(line), flush=True)
