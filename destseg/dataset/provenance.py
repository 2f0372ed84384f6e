"""data/mvtec/<category>.provenance.jsonl: where each photograph came from, in git beside its dataset version."""

import json
from collections.abc import Iterable, Mapping
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
    """One record per photograph; none for a dataset that `destseg dataset add` has not made.

    sha256, name in the dataset, keys (all that it came under), modified (of the first), size in bytes, version (the
    dataset version in which it first was); of one from the inbox etag, line, camera, time where a sidecar named them,
    and mask_key of a defect.
    """
    file = root / path(category)
    try:
        return parsed(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise Error(f"{file} is no UTF-8 text ({error}); restore the file from git") from None


def parsed(text: str, where: str) -> list[Record]:
    """The records of a file's text; an Error names `where` and the line that is none."""
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not _is_record(record):
            raise Error(
                f"line {number} of {where} is no record, expected an object with the texts sha256, name and modified "
                f"and the list keys; restore the file from git"
            )
        records.append(record)
    return records


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        return False
    keys, texts = record.get("keys", []), [record.get(name, "") for name in ("name", "modified", "version")]
    return isinstance(keys, list) and all(isinstance(text, str) for text in [*keys, *texts])


def write(root: Path, category: str, records: Iterable[Record]) -> None:
    """Replace the file: sorted by hash, so that the order in which batches came does not show."""
    lines = [json.dumps(record) + "\n" for record in sorted(records, key=lambda record: str(record["sha256"]))]
    write_text(root / path(category), "".join(lines))


def with_new(records: Iterable[Record], accepted: Iterable[Record], version: str) -> list[Record]:
    """The records and those of photographs that are new in `version`."""
    return [*records, *(record | {"version": version} for record in accepted)]


def with_keys(records: Iterable[Record], again: Iterable[Record]) -> list[Record]:
    """The records, those of photographs that came again with the keys under which they did."""
    known = {record["sha256"]: record for record in records}
    for record in again:
        before = known.get(record["sha256"])
        if before and (more := set(record["keys"]) - set(before.get("keys", []))):
            known[record["sha256"]] = before | {"keys": sorted([*before.get("keys", []), *more])}
    return list(known.values())


def with_about(records: Iterable[Record], about: Mapping[str, Mapping[str, str]]) -> list[Record]:
    """The records with what sidecars say of photographs, by SHA-256; what is known already stays."""
    return [{**about.get(str(record["sha256"]), {}), **record} for record in records]


def from_inbox(records: Iterable[Record]) -> list[Record]:
    """Those that came as a batch: `add` knows no ETag."""
    return [record for record in records if "etag" in record]
