"""A picture of what came and what went between two dataset versions."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from destseg.dataset.images import ImageError, decode
from destseg.files import replacing
from destseg.ingest.history import Diff
from destseg.storage import versions

COLUMNS, CELL, GAP, CAPTION, TITLE = 8, 144, 12, 18, 34  # pixels
MOST = 64  # photographs of each section
_INK, _PAPER, _FAINT = "#1c1c1c", "#ffffff", "#767676"


def contact_sheet(diff: Diff, out: Path, root: Path = Path()) -> Path:
    """Writes `out`, a PNG; only the photographs that it shows are fetched. Masks are left out."""
    sections = [("came", diff.came, diff.new.commit), ("went", diff.went, diff.old.commit)]
    parts = [_title(f"{diff.category}: from {diff.old.version[:12]} to {diff.new.version[:12]}", size=17)]
    for word, names, commit in sections:
        photographs = [name for name in names if not name.startswith("ground_truth/")]
        more = f", the first {MOST} shown" if len(photographs) > MOST else ""
        parts.append(_title(f"{len(photographs)} {word}{more}"))
        shown = [_cell(*one) for one in versions.read(root, diff.category, commit, photographs[:MOST])]
        parts += [_row(shown[at : at + COLUMNS]) for at in range(0, len(shown), COLUMNS)]
    sheet = Image.new("RGB", (parts[0].width, sum(part.height for part in parts) + GAP), _PAPER)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    with replacing(out) as fresh:
        sheet.save(fresh, "PNG")
    return out


def _title(text: str, size: int = 15) -> Image.Image:
    image = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, TITLE), _PAPER)
    ImageDraw.Draw(image).text((GAP, TITLE // 3), text, fill=_INK, font=ImageFont.load_default(size))
    return image


def _cell(name: str, content: bytes) -> Image.Image:
    """The photograph, whole, above its folder and the end of its name."""
    image = Image.new("RGB", (CELL, CELL + CAPTION), _PAPER)
    try:
        photograph = decode(content)
        photograph.thumbnail((CELL, CELL))
        image.paste(photograph, ((CELL - photograph.width) // 2, (CELL - photograph.height) // 2))
    except ImageError:
        ImageDraw.Draw(image).text((4, CELL // 2), "cannot be decoded", fill=_INK, font=ImageFont.load_default(12))
    _, kind, file = name.split("/")
    label = f"{kind}/{file}"
    font = ImageFont.load_default(11)
    while font.getlength(label) > CELL:
        label = f"…{label[2:]}" if label.startswith("…") else f"…{label[1:]}"
    ImageDraw.Draw(image).text((0, CELL + 3), label, fill=_FAINT, font=font)
    return image


def _row(cells: Sequence[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, CELL + CAPTION + GAP), _PAPER)
    for column, cell in enumerate(cells):
        row.paste(cell, (GAP + column * (CELL + GAP), 0))
    return row
