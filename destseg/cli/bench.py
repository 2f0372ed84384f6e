"""`destseg bench <verb>`."""

from typing import Annotated, Literal

import typer

from destseg.cli.options import AsJson, Precision, show_result

app = typer.Typer(help="Measure this machine.", no_args_is_help=True)

Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; else DESTSEG_DEVICE.", show_default=False)]
Size = Annotated[int, typer.Option(min=64, help="Side of the images in pixels.")]
Network = Annotated[
    Literal["paper", "compact"],
    typer.Option(help="paper: beside the published code, as it is described; compact: beside the paper's network."),
]
Width = Annotated[
    int | None,
    typer.Option(min=8, help="Channels of the segmentation net; 256, of compact 48.", show_default=False),
]


@app.command("train")
def bench_train(
    device: Device = None,
    network: Network = "paper",
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=2, help="Images a step.")] = 8,
    width: Width = None,
    images: Annotated[int, typer.Option(min=1, help="Normal images.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of each stage.")] = 5,
    alone: Annotated[bool, typer.Option("--alone", help="Without what it is compared with.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes of the published loop's loader.")] = 0,
    paper: Annotated[bool, typer.Option("--paper", help="Run the paper's 5,000 steps too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Images a second of both training stages, beside what they are compared with and the machine's peak."""
    from destseg.bench.train import train
    from destseg.model.device import device as found

    figures = train(
        found(device),
        network=network,
        size=size,
        batch=batch,
        width=width,
        images=images,
        steps=steps,
        alone=alone,
        workers=workers,
        paper=paper,
    )
    show_result(figures, as_json)


@app.command("infer")
def bench_infer(
    device: Device = None,
    network: Network = "paper",
    size: Size = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images at once.")] = 8,
    width: Width = None,
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 where the hardware is faster with it.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Images a second of the whole network, beside what it is compared with and the machine's peak."""
    from destseg.bench.infer import infer
    from destseg.model.device import device as found

    figures = infer(found(device), network=network, size=size, batch=batch, width=width, precision=precision)
    show_result(figures, as_json)


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
