"""The stage `validate`: which normal images train and calibrate, or what is wrong with the dataset."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from destseg import Error
from destseg.dataset import provenance
from destseg.dataset.accepted import Accepted, accepted_path
from destseg.dataset.images import ImageSettings
from destseg.dataset.layout import GOOD, build_dir, dataset_dir
from destseg.dataset.manifest import Row, manifest
from destseg.dataset.provenance import Record
from destseg.dataset.splits import SplitSettings, split
from destseg.files import remove, replacing
from destseg.settings import read_section
from destseg.validation.exposure import newest
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import Finding, Outcome, Rejected, Verdict, by_file

Run = Callable[[Sequence[Row], SplitSettings, ValidationSettings, frozenset[str]], tuple[list[Outcome], list[Finding]]]
logger = logging.getLogger(__name__)


def validate(category: str, *, by: Run | None = None) -> Verdict:
    """Checks data/mvtec/<category>; writes build/<category>/validation/, and accepted.json when there is no error.

    Rejected (an Error) names the first errors and carries the verdict with all of them. `by` checks the rules: Great
    Expectations unless given, or `plain.run`, which comes to the same.
    """
    parts = read_section("split", SplitSettings, category=category)
    directory, report = dataset_dir(category), build_dir(category) / "validation"
    remove(accepted_path(category))  # an older verdict must not outlive this one
    image = read_section("image", ImageSettings, category=category)
    verdict, rows = _checked(
        directory,
        image,
        parts,
        read_section("validation", ValidationSettings, category=category),
        provenance.read(Path(), category),
        by,
    )
    _write_report(verdict, directory, image.bit_depth, report)
    if not verdict.accepted:
        raise Rejected(verdict, report / "index.html")
    training, calibration = _shared_out(rows, parts)
    Accepted(category=category, training=training, calibration=calibration).write()
    return verdict


def check(
    directory: Path,
    *,
    image: ImageSettings,
    parts: SplitSettings,
    settings: ValidationSettings,
    records: Sequence[Record] = (),
    by: Run | None = None,
) -> Verdict:
    """All that is right and wrong with the MVTec-format dataset in `directory`; writes nothing, raises no Rejected.

    `records` is its provenance, from which the batch that came last is known; `by` is as in `validate`.
    """
    return _checked(directory, image, parts, settings, records, by)[0]


def _checked(
    directory: Path,
    image: ImageSettings,
    parts: SplitSettings,
    settings: ValidationSettings,
    records: Sequence[Record],
    by: Run | None,
) -> tuple[Verdict, list[Row]]:
    if not directory.is_dir():
        raise Error(f"{directory} does not exist; get it with `dvc pull`, or add it with `destseg dataset add`")
    logger.info("%s: reading all files", directory)
    rows = manifest(directory, image)
    logger.info("%s: %d files, checking the expectations", directory, len(rows))
    run = by or _great_expectations()
    listed = frozenset(row.sha256 for row in rows if (row.role, row.split) == ("image", "train"))
    outcomes, findings = run(rows, parts, settings, newest(records, listed))
    errors = sum(finding.severity == "error" for finding in findings)
    training, calibration = ([], []) if errors else _shared_out(rows, parts)
    verdict = Verdict(
        category=directory.name,
        accepted=not errors,
        errors=errors,
        warnings=len(findings) - errors,
        training=len(training),
        calibration=len(calibration),
        counts=dict(sorted(Counter(f"{r.split}/{r.kind}" for r in rows if r.role in ("image", "mask")).items())),
        findings=by_file(findings),
        expectations=tuple(outcomes),
        ignored=tuple(row.name for row in rows if row.role == "ignored"),
    )
    return verdict, rows


def _great_expectations() -> Run:
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # its import writes hundreds of lines
    from destseg.validation.suite import run  # seconds

    return run


def _shared_out(rows: list[Row], settings: SplitSettings) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(path, SHA-256) of the normal images for training and for calibration, each sorted by path."""
    normals = {row.sha256: row.path for row in rows if (row.role, row.split, row.kind) == ("image", "train", GOOD)}
    training, calibration = split(normals, settings)
    return sorted((normals[sha], sha) for sha in training), sorted((normals[sha], sha) for sha in calibration)


def _write_report(verdict: Verdict, directory: Path, bit_depth: int, folder: Path) -> None:
    from destseg.validation.docs import page

    with replacing(folder) as fresh:
        fresh.mkdir()
        (fresh / "validation.json").write_text(json.dumps(asdict(verdict), indent=1) + "\n", encoding="utf-8")
        (fresh / "index.html").write_text(page(verdict, directory, bit_depth), encoding="utf-8")
