"""The verb of the quality engineer's page."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Pem = Annotated[Path | None, typer.Option(help="PEM file, for TLS.", show_default=False)]


@app.command()
def review(
    host: Annotated[str, typer.Option(help="Where to listen; this machine only unless given.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8070,
    address: Annotated[
        str | None,
        typer.Option(help="What people open if a proxy is in front: https://review.example.com.", show_default=False),
    ] = None,
    certificate: Pem = None,
    key: Pem = None,
) -> None:
    """Serve the page on which a quality engineer compares, promotes, turns down and rolls back, until Ctrl-C."""
    from destseg.review.serve import review

    review(host=host, port=port, address=address, certificate=certificate, key=key)
