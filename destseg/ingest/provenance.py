"""data/mvtec/<category>.provenance.jsonl: where each photograph from the inbox came from, in git beside its version."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.dataset.layout import DATASETS
from destseg.files import write_text

Record = dict[str, Any]


def path(category: str) -> Path:
    """The file, from the repository's root."""
    return DATASETS / f"{category}.provenance.jsonl"


def read(root: Path, category: str) -> list[Record]:
    """One record per photograph: sha256, name, keys, etag, modified, size; none before the first batch."""
    file = root / path(category)
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise Error(f"{file} has a line that is no JSON ({error}); restore the file from git") from None


def write(root: Path, category: str, records: Iterable[Record]) -> None:
    """Replace the file: sorted by hash, so that the order in which batches came does not show."""
    lines = [json.dumps(record) + "\n" for record in sorted(records, key=lambda record: str(record["sha256"]))]
    write_text(root / path(category), "".join(lines))
