"""`destseg bench <verb>`."""

from typing import Annotated

import typer

from destseg.cli.options import AsJson, Precision, show_result

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)

Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; else DESTSEG_DEVICE.", show_default=False)]
Size = Annotated[int, typer.Option(min=64, help="Side of the images in pixels.")]
Width = Annotated[int, typer.Option(min=8, help="Channels of the segmentation net.")]


@app.command("train")
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
    show_result(train(found(device), **options, naive=naive, workers=workers, paper=paper), as_json)


@app.command("infer")
def bench_infer(
    device: Device = None,
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    width: Width = 256,
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 where the hardware is faster with it.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Images a second of the whole network, beside the published forward pass and the machine's peak."""
    from destseg.bench.infer import infer
    from destseg.model.device import device as found

    show_result(infer(found(device), size=size, batch=batch, width=width, precision=precision), as_json)


@app.command("metrics")
def bench_metrics(
    size: Size = 256,
    images: Annotated[int, typer.Option(min=2, help="Maps in all, half of them with defects.")] = 1000,
    streamed: Annotated[bool, typer.Option(help="A batch of maps in memory at a time.")] = False,
    as_json: AsJson = False,
) -> None:
    """Seconds and memory of all metrics, overall and by defect type."""
    from destseg.bench.metrics import metrics

    show_result(metrics(images=images, size=size, streamed=streamed), as_json)
