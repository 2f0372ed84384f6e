"""The command line: each verb reads its arguments and makes one call into the library."""

import dataclasses
import datetime
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from destseg import __version__
from destseg.settings import read_section

app = typer.Typer(
    help="Defect inspection that learns from good parts: data versions, training, evaluation, promotion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dataset = typer.Typer(help="Datasets in MVTec's layout, below data/mvtec.", no_args_is_help=True)
teacher = typer.Typer(help="The frozen network that the student learns from.", no_args_is_help=True)
bench = typer.Typer(help="Measure this machine.", no_args_is_help=True)
app.add_typer(dataset, name="dataset")
app.add_typer(teacher, name="teacher")
app.add_typer(bench, name="bench")

Category = Annotated[str, typer.Argument(help="Name of the category in params.yaml.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON on stdout.")]
Precision = Literal["float32", "bfloat16", "auto"]
Why = Annotated[str, typer.Option(help="The reason, kept for ever with the version.", show_default=False)]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        envvar="DESTSEG_DETERMINISTIC",
        help="On a GPU, repeat bit for bit, more slowly; a processor does anyway.",
    ),
]
Who = Annotated[str | None, typer.Option(help="Who decides; the signed-in user unless given.", show_default=False)]


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


@app.command()
def demo() -> None:
    """The main job on this machine: servers, demo datasets, ingest, training, promotion and scoring, in .demo/."""
    from destseg.local.demo import demo

    print(demo())


@app.command()
def up() -> None:
    """Start the servers of the demo (S3, MLflow, Prefect with a worker) and keep them until Ctrl-C."""
    from destseg.local.up import up

    up()


@dataset.command("demo")
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


@dataset.command("add")
def dataset_add(
    category: Category,
    source: Annotated[Path, typer.Option("--from", help="Folder in MVTec's layout: train/good, test/<kind>, ...")],
) -> None:
    """Copy a dataset below data/mvtec, track it with DVC and name the category in params.yaml."""
    from destseg.ingest.add import add

    print(add(category, source))


@dataset.command("check")
def dataset_check() -> None:
    """Check that every category of params.yaml has a dataset (stage `datasets`)."""
    from destseg.dataset.catalogue import check

    print(f"categories: {', '.join(check())}")


@dataset.command("list")
def dataset_list(as_json: AsJson = False) -> None:
    """The categories of params.yaml, with their dataset version and number of images."""
    from destseg.ingest.add import list_datasets

    rows = list_datasets()
    if as_json:
        _print_json([dataclasses.asdict(row) for row in rows])
    else:
        for row in rows:
            print(row)


@app.command()
def ingest(category: Category, as_json: AsJson = False) -> None:
    """Turn what waits in the inbox into a new dataset version; run it in a clean clone."""
    from destseg.ingest.batch import IngestSettings, ingest
    from destseg.storage.s3 import bucket_name

    settings = read_section("ingest", IngestSettings, category=category)
    _result(ingest(category, root=Path(), bucket=bucket_name(), settings=settings), as_json)


@app.command()
def validate(category: Category, as_json: AsJson = False) -> None:
    """Check a dataset and share out its normal images (stage `validate`)."""
    from destseg.validation.validate import validate

    _result(validate(category), as_json)


@app.command()
def student(category: Category, deterministic: Deterministic = False) -> None:
    """Train the denoising student (stage `student`); killed, it goes on where it was."""
    from destseg.training.student import stage

    stage(category, deterministic=deterministic)


@app.command()
def segmentation(category: Category, deterministic: Deterministic = False) -> None:
    """Train the segmentation net (stage `segmentation`); killed, it goes on where it was."""
    from destseg.training.segmentation import stage

    stage(category, deterministic=deterministic)


@app.command()
def evaluate(category: Category, as_json: AsJson = False) -> None:
    """Calibrate on held-out normal images, measure on the test set, write the report (stage `evaluate`)."""
    from destseg.evaluation.evaluate import evaluate

    _result(evaluate(category), as_json)


@app.command()
def package(category: Category) -> None:
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
def register(
    category: Category,
    check: Annotated[bool, typer.Option("--check", help="Only say whether this was trained and registered.")] = False,
    as_json: AsJson = False,
) -> None:
    """Log the run and register the packaged model as challenger, once for the same data, settings and code."""
    from destseg.registry.register import look_up, register

    _result(look_up(category) if check else register(category), as_json)


@app.command()
def promote(
    category: Category,
    why: Why,
    who: Who = None,
    version: Annotated[int | None, typer.Option(help="Candidate version; the challenger unless given.")] = None,
    override: Annotated[bool, typer.Option(help="Promote although a gate has failed; it is recorded.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a candidate the champion, which the line loads."""
    from destseg.registry.promotion import promote

    _result(promote(category, why=why, who=who, version=version, override=override), as_json)


@app.command()
def rollback(category: Category, why: Why, who: Who = None, as_json: AsJson = False) -> None:
    """Make the champion before this one champion again, as a new version."""
    from destseg.registry.promotion import rollback

    _result(rollback(category, why=why, who=who), as_json)


@app.command()
def history(
    category: Category,
    at: Annotated[datetime.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Champion of that day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which model was champion when, who promoted it, and why."""
    from destseg.registry.history import history

    entries = history(category, at=at.date() if at else None)
    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in entries])
    else:
        for entry in entries:
            print(entry)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Folder, .onnx file, or models:/destseg-<category>@champion.")],
    images: Annotated[list[Path], typer.Argument(help="Photographs to score.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder for scores.jsonl and the heatmaps.")] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Of the convolutions. The threshold belongs to float32 scores; bfloat16 is faster on hardware that "
            "has it and shifts each score a little, so that images near the threshold may get the other verdict. "
            "auto: bfloat16 where the hardware has it."
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


@teacher.command("fetch")
def teacher_fetch() -> None:
    """Write the teacher that params.yaml names to build/teacher.safetensors (stage `teacher`)."""
    from destseg.model.sources import TeacherSettings, fetch

    fetch(read_section("teacher", TeacherSettings))


@teacher.command("pretrain")
def teacher_pretrain(
    out: Annotated[Path, typer.Option(help="Where to write the weights.")] = Path("formula.safetensors"),
    seed: Annotated[int, typer.Option(help="Of the textures, the initial weights and the order.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.", show_default=False)] = None,
) -> None:
    """Train the formula teacher on procedural textures."""
    from destseg.model.device import device
    from destseg.training.pretrain import PretrainSettings, pretrain

    settings = PretrainSettings() if steps is None else PretrainSettings(steps=steps)
    pretrain(out, settings=settings, seed=seed, device=device())


Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; else DESTSEG_DEVICE.", show_default=False)]
Size = Annotated[int, typer.Option(min=64, help="Side of the images in pixels.")]
Width = Annotated[int, typer.Option(min=8, help="Channels of the segmentation net.")]


@bench.command("train")
def bench_train(
    device: Device = None,
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=2, help="Images a step.")] = 8,
    width: Width = 256,
    images: Annotated[int, typer.Option(min=1, help="Normal images.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of each stage.")] = 5,
    naive: Annotated[bool, typer.Option(help="Time the published loop too.")] = True,
    workers: Annotated[int, typer.Option(min=0, help="Processes of the published loop's loader.")] = 0,
    paper: Annotated[bool, typer.Option("--paper", help="Run the paper's 5,000 steps too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Images a second of both training stages, beside the published loop and the machine's peak."""
    from destseg.bench.train import train
    from destseg.model.device import device as found

    options = {"size": size, "batch": batch, "width": width, "images": images, "steps": steps}
    _result(train(found(device), **options, naive=naive, workers=workers, paper=paper), as_json)


@bench.command("infer")
def bench_infer(
    device: Device = None,
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    width: Width = 256,
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 where the hardware has it.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Images a second of the whole network, beside the published forward pass and the machine's peak."""
    from destseg.bench.infer import infer
    from destseg.model.device import device as found

    _result(infer(found(device), size=size, batch=batch, width=width, precision=precision), as_json)


@bench.command("metrics")
def bench_metrics(
    size: Size = 256,
    images: Annotated[int, typer.Option(min=2, help="Maps in all, half of them with defects.")] = 1000,
    streamed: Annotated[bool, typer.Option(help="A batch of maps in memory at a time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Seconds and memory of all metrics, overall and by defect type."""
    from destseg.bench.metrics import metrics

    _result(metrics(images=images, size=size, streamed=streamed), as_json)


def _result(result: Any, as_json: bool) -> None:
    """A frozen dataclass as one line of JSON, or as the sentence that its __str__ gives."""
    if as_json:
        _print_json(result.to_dict() if hasattr(result, "to_dict") else dataclasses.asdict(result))
    else:
        print(result)


def _print_json(content: dict[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(content, default=str, sort_keys=True), flush=True)
