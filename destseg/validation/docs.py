"""The Data Docs of a check: one static page, rendered by us from what Great Expectations found.

Great Expectations' own pages load some sixteen files from content delivery networks and are unreadable without them.
"""

import base64
import io
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from destseg.dataset.images import ImageError, decode
from destseg.validation.verdict import Finding, Verdict, counted

_THUMBNAIL = 88  # pixels
_MOST_THUMBNAILS = 200  # of about 3 kB each


def page(verdict: Verdict, directory: Path, bit_depth: int = 8) -> str:
    """The page as HTML that refers to no other file; `directory` is where the thumbnails are taken from."""
    environment = Environment(
        loader=PackageLoader("destseg.validation", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["counted"] = counted
    template = environment.get_template("page.html")
    return template.render(verdict=verdict, files=list(_files(verdict.findings, directory, bit_depth)))


def _files(findings: tuple[Finding, ...], directory: Path, bit_depth: int) -> Iterator[dict[str, Any]]:
    """The findings of each file with pictures, in the verdict's order; the first are those of the whole dataset."""
    left = _MOST_THUMBNAILS

    def picture(file: str | None) -> str | None:
        nonlocal left
        shown = _thumbnail(directory / file, bit_depth) if file and left > 0 else None
        left -= shown is not None
        return shown

    for file, found in groupby(findings, key=lambda finding: finding.file):
        shown = picture(file)
        yield {"file": file, "picture": shown, "findings": [(finding, picture(finding.other)) for finding in found]}


def _thumbnail(path: Path, bit_depth: int) -> str | None:
    """A data: address of a small JPEG, or None when the file cannot be shown."""
    try:
        image = decode(path, bit_depth=bit_depth)
    except ImageError:
        return None
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
