"""What a dataset is held to: each expectation with its severity and its words for people."""

from collections import Counter
from pathlib import PurePosixPath

from destseg.dataset.images import MAX_PIXELS, MODES
from destseg.dataset.layout import GOOD, IMAGE_SUFFIXES
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.dataset.splits import SplitSettings
from destseg.validation.likeness_expectations import copy_rules, exposure_rules
from destseg.validation.mask_expectations import mask_rules
from destseg.validation.rule import DEFECT, IMAGE, Facts, Rule, Where, rule, size
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import Severity, counted

_GROUPS = 4  # that are all named
_TEST: Where = (*IMAGE, ("split", "==", "test"))


def rules(settings: ValidationSettings, split: SplitSettings, *, has_batch: bool = False) -> list[Rule]:
    """Every rule, in the order in which the page lists them; `has_batch`: whether `exposure.compare` marked one."""
    return [
        *_files(settings),
        *copy_rules(settings),
        *_images(settings),
        *exposure_rules(settings, has_batch=has_batch),
        *mask_rules(settings),
        *_amounts(settings, split),
    ]


def _files(settings: ValidationSettings) -> list[Rule]:
    formats = list(settings.formats)
    return [
        rule(
            "layout",
            "error",
            "Every file lies where MVTec's layout has it.",
            "ExpectColumnValuesToNotBeInSet",
            _misplaced,
            column="role",
            value_set=["stranger"],
        ),
        rule(
            "decodable",
            "error",
            f"Every image and mask can be decoded and has at most {MAX_PIXELS:,} pixels.",
            "ExpectColumnValuesToBeNull",
            lambda f: str(f["error"]),
            column="error",
        ),
        rule(
            "format",
            "error",
            f"Every image is {_listed(formats)}.",
            "ExpectColumnValuesToBeInSet",
            lambda f: f"is {f['format']}, expected {_listed(formats)} (validation.formats)",
            where=IMAGE,
            column="format",
            value_set=formats,
        ),
        rule(
            "suffix",
            "warning",
            "The end of a file's name says what its content is.",
            "ExpectColumnValuesToBeInSet",
            lambda f: f"holds {f['format']}, which its name does not say; rename it",
            column="suffix_is_format",
            value_set=[True],
        ),
    ]


def _images(settings: ValidationSettings) -> list[Rule]:
    return [
        rule(
            "mode",
            "error",
            "Every image is grey or RGB, without transparency and not CMYK.",
            "ExpectColumnValuesToBeInSet",
            lambda f: f"has colour mode {f['mode']}, expected grey or RGB without transparency",
            where=IMAGE,
            column="mode",
            value_set=list(MODES),
        ),
        rule(
            "size",
            "error",
            f"Every image is at least {settings.min_side} pixels wide and high.",
            "ExpectColumnValuesToBeBetween",
            lambda f: f"is {size(f)} pixels, expected at least {settings.min_side} each way (validation.min_side)",
            where=IMAGE,
            column="short_side",
            min_value=settings.min_side,
        ),
        rule(
            "size-limit",
            "error",
            f"No image is wider or higher than {settings.max_side} pixels.",
            "ExpectColumnValuesToBeBetween",
            lambda f: f"is {size(f)} pixels, expected at most {settings.max_side} each way (validation.max_side)",
            where=IMAGE,
            column="long_side",
            max_value=settings.max_side,
        ),
        rule(
            "blank",
            "error",
            f"No image is blank: its grey values have a standard deviation of {settings.blank_std:g} and more.",
            "ExpectColumnValuesToBeBetween",
            lambda f: f"is blank: all pixels near {f['mean']:.0f} (standard deviation {f['std']:.2f})",
            where=IMAGE,
            column="std",
            min_value=settings.blank_std,
        ),
        rule(
            "saturated",
            "warning",
            f"No image has more than {settings.saturated_share:.0%} of its pixels at 255.",
            "ExpectColumnValuesToBeBetween",
            lambda f: f"is overexposed: {f['saturated']:.0%} of its pixels are at 255",
            where=IMAGE,
            column="saturated",
            max_value=settings.saturated_share,
        ),
        rule(
            "one-colour",
            "warning",
            "All images are grey, or all are RGB.",
            "ExpectColumnUniqueValueCountToBeBetween",
            _mixed,
            where=IMAGE,
            column="colour",
            max_value=1,
        ),
        rule(
            "one-size",
            "warning",
            "All images have the same width and height.",
            "ExpectColumnUniqueValueCountToBeBetween",
            _sizes,
            where=IMAGE,
            column="pixels",
            max_value=1,
        ),
    ]


def _amounts(settings: ValidationSettings, split: SplitSettings) -> list[Rule]:
    def enough(name: str, severity: Severity, where: Where, least: int, noun: str, place: str, advice: str) -> Rule:
        def finding(facts: Facts) -> str:
            return f"{counted(facts['observed'], noun)} {place}, expected at least {least}; {advice}"

        sentence = f"There {'is' if least == 1 else 'are'} at least {counted(least, noun)} {place}."
        return rule(name, severity, sentence, "ExpectTableRowCountToBeBetween", finding, where=where, min_value=least)

    usable: Where = (("part", "is there", None),)
    training: Where = (("part", "==", "training"),)
    held_out: Where = (("part", "==", "calibration"),)
    add = "add photographs of good parts to train/good"
    share = "add photographs of good parts or change split.calibration_share"
    known = [
        enough("normals", "error", usable, settings.min_normals, "usable image", "in train/good", add),
        enough("training", "error", training, 2, "normal image", "for training", share),
    ]
    if split.calibration_share > 0:
        known.append(enough("calibration", "error", held_out, 1, "normal image", "for calibration", share))
    no_truth = "until there is one, nothing measures which defects the model finds"
    if not settings.normals_only:
        no_truth = "add some with their masks, or set validation.normals_only: then nothing measures what is found"
    missing: Severity = "warning" if settings.normals_only else "error"
    no_good = "the scores of good parts are measured on none"
    return [
        *known,
        enough("defects", missing, DEFECT, 1, "defect image", "in test", no_truth),
        enough("test-normals", "warning", (*_TEST, ("kind", "==", GOOD)), 1, "image", "in test/good", no_good),
    ]


def _misplaced(facts: Facts) -> str:
    """What is wrong with the place or name of a file."""
    split, kind, path = facts["split"], facts["kind"], PurePosixPath(facts["path"])
    if split == "train" and kind not in ("", GOOD):
        return "train/ holds good parts only; move images of defects to test/<kind>"
    if split == "ground_truth" and len(path.parts) == 3:
        return f"is no mask; masks are called <name of the image>{MASK_SUFFIX}"
    if split in ("train", "test") and len(path.parts) == 3 and path.suffix.lower() not in IMAGE_SUFFIXES:
        return f"is no image; expected {_listed(sorted(IMAGE_SUFFIXES))}"
    return "has no place in MVTec's layout: train/good/*, test/<kind>/*, ground_truth/<kind>/*_mask.png"


def _mixed(facts: Facts) -> str:
    return f"images of {_groups('colour modes', 'colour', facts['files'])}"


def _sizes(facts: Facts) -> str:
    return f"images of {_groups('sizes', 'pixels', facts['files'])}; has a camera been changed?"


def _groups(noun: str, column: str, files: list[Facts]) -> str:
    """The groups by what is in a column, the smallest with an example; of many only the largest."""
    examples = {f[column]: f["path"] for f in files if f[column] is not None}
    groups = Counter(f[column] for f in files if f[column] is not None).most_common()
    if len(groups) > _GROUPS:
        (name, most), count = groups[0], sum(count for _, count in groups)
        return f"{len(groups)} {noun}, the most common {name} ({most} of {count} images)"
    named = " and ".join(f"{count} {name}" for name, count in groups)
    return f"{'two' if len(groups) == 2 else len(groups)} {noun}: {named} (such as {examples[groups[-1][0]]})"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
