"""accepted.json: the normal images that validation let through, and which of them train and which calibrate."""

import json
from dataclasses import dataclass
from pathlib import Path

from destseg import Error
from destseg.dataset.layout import build_dir, dataset_dir
from destseg.files import write_text

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """(name below the category's folder, SHA-256) of each normal image, sorted by name. Nothing of test/ is in it."""

    category: str
    training: list[tuple[str, str]]
    calibration: list[tuple[str, str]]

    def paths(self, part: list[tuple[str, str]], root: Path = Path()) -> list[Path]:
        """Where the images of one part lie."""
        return [dataset_dir(self.category, root) / name for name, _ in part]

    def write(self, root: Path = Path()) -> None:
        """Writes build/<category>/accepted.json."""
        text = json.dumps({"format": FORMAT, **vars(self)}, indent=1, sort_keys=True)
        write_text(accepted_path(self.category, root), text + "\n")


def accepted_path(category: str, root: Path = Path()) -> Path:
    """build/<category>/accepted.json."""
    return build_dir(category, root) / "accepted.json"


def read_accepted(category: str, root: Path = Path()) -> Accepted:
    """What `destseg validate` accepted, or an Error that says to run it."""
    path = accepted_path(category, root)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise Error(f"{path} has format {content['format']}, expected {FORMAT}: run `destseg validate {category}`")
        return Accepted(
            category=content["category"],
            training=[(name, sha) for name, sha in content["training"]],
            calibration=[(name, sha) for name, sha in content["calibration"]],
        )
    except FileNotFoundError:
        raise Error(f"{path} does not exist: run `destseg validate {category}` or `dvc repro` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Error(f"{path} cannot be read ({error}): run `destseg validate {category}`") from None
