"""The pictures of a comparison, in one archive: of the images compared on, and of those that came to the dataset."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from destseg.dataset.images import ImageError, ImageSettings, decode
from destseg.dataset.layout import dataset_dir
from destseg.settings import PARAMS, read_section
from destseg.storage.fetching import is_below

QUALITY = 82  # of its pictures
SHEET = 48  # images of the contact sheet at most
SIDE = 256  # of the contact sheet's pictures, in pixels, the longer one


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The archive, not compressed: WebP is."""

    archive: zipfile.ZipFile
    photographs: set[int] = field(default_factory=set)

    def add(self, name: str, picture: Image.Image) -> None:
        """<name>.webp."""
        content = io.BytesIO()
        picture.save(content, "WEBP", quality=QUALITY)
        # A fixed time: the same pictures give the same archive.
        self.archive.writestr(zipfile.ZipInfo(f"{name}.webp"), content.getvalue())


def add_contact_sheet(path: Path, category: str, came: Mapping[str, str], root: Path = Path()) -> list[dict[str, str]]:
    """Adds small pictures of at most SHEET of the images that came to the archive `path`, spread over their names.

    `came` is their SHA-256 by name. Names come from the registry: shown are only files of the dataset in `root` with
    that SHA-256. Returns name and SHA-256 of each; the picture of the first is added/0.webp.
    """
    directory = dataset_dir(category, root)
    settings = read_section("image", ImageSettings, category=category, path=root / PARAMS)
    here = [name for name in sorted(came) if is_below(name) and (directory / name).is_file()]
    count = min(SHEET, len(here))
    shown: list[dict[str, str]] = []
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        gallery = Gallery(archive=archive)
        for name in (here[place * len(here) // count] for place in range(count)):
            content = (directory / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != came[name]:
                continue  # another photograph has taken its name since
            try:
                picture = decode(content, bit_depth=settings.bit_depth)
            except ImageError:  # under another image.bit_depth than it was trained with
                continue
            picture.thumbnail((SIDE, SIDE))
            gallery.add(f"added/{len(shown)}", picture)
            shown.append({"name": name, "sha256": came[name]})
    return shown
