"""`destseg teacher <verb>`."""

from pathlib import Path
from typing import Annotated

import typer

from destseg.cli.options import Listed
from destseg.settings import read_section

app = typer.Typer(help="The frozen network that the student learns from.", no_args_is_help=True)


@app.command("fetch")
def teacher_fetch(category: Listed) -> None:
    """Write the teacher that params.yaml names to build/CATEGORY/teacher.safetensors (stage `teacher`)."""
    from destseg.dataset.layout import TEACHER, build_dir
    from destseg.model.sources import TeacherSettings, fetch

    fetch(read_section("teacher", TeacherSettings, category=category), build_dir(category) / TEACHER)


@app.command("pretrain")
def teacher_pretrain(
    out: Annotated[Path, typer.Option(help="Where to write the weights.")] = Path("formula.safetensors"),
    seed: Annotated[int, typer.Option(help="Of the textures, the initial weights and the order.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.", show_default=False)] = None,
) -> None:
    """Train the formula teacher on procedural textures."""
    from destseg.model.device import device, enough_memory
    from destseg.training.pretrain import PretrainSettings, pretrain

    settings = PretrainSettings() if steps is None else PretrainSettings(steps=steps)
    on = device()
    with enough_memory(
        on, f"pretraining with batches of {settings.batch}", "set DESTSEG_DEVICE to a larger one, or cpu"
    ):
        pretrain(out, settings=settings, seed=seed, device=on)
