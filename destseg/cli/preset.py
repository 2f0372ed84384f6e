"""`destseg preset <verb>`."""

from typing import Annotated

import typer

from destseg.cli.options import AsJson, show_result

app = typer.Typer(help="Network and schedule under one name: for a processor, or the paper's.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Of the preset, as `destseg preset list` has it.", show_default=False)]


@app.command("list")
def preset_list(as_json: AsJson = False) -> None:
    """The presets, for whom each is, and which of them params.yaml and its categories use."""
    from destseg.presets.listing import list_presets

    show_result(list_presets(), as_json)


@app.command("show")
def preset_show(name: Name, as_json: AsJson = False) -> None:
    """The settings of a preset, with their reasons."""
    from destseg.presets.preset import load

    show_result(load(name), as_json)


@app.command("use")
def preset_use(
    name: Name,
    category: Annotated[
        str | None, typer.Argument(help="The one category to change; all unless given.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a preset into params.yaml, at its top level or below one category; all other settings stay."""
    from destseg.presets.use import use

    show_result(use(name, category), as_json)
