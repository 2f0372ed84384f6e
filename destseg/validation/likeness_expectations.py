"""What the images of a dataset are held to beside each other: no copies, and no stranger in brightness or sharpness."""

import functools

from destseg.validation.exposure import MEASURES, NEWEST
from destseg.validation.rule import IMAGE, Facts, Rule, rule
from destseg.validation.settings import ValidationSettings
from destseg.validation.verdict import counted


def copy_rules(settings: ValidationSettings) -> list[Rule]:
    """Exact duplicates, and near ones by `likeness.nearest`."""
    exact = rule(
        "duplicate",
        "error",
        "No image is there twice, neither within train and test nor across them.",
        "ExpectColumnValuesToBeNull",
        lambda f: f"has the same bytes as {f['duplicate_of']}; remove one of them",
        where=IMAGE,
        column="duplicate_of",
        names_other="duplicate_of",
    )
    if not settings.near_duplicate:
        return [exact]
    return [
        exact,
        rule(
            "leak",
            "error",
            "No test image shows what an image of train/good shows.",
            "ExpectColumnValuesToBeNull",
            lambda f: (
                f"looks like {f['leak_of']}, which trains: a test on it proves nothing; remove one of them "
                f"(destseg dataset remove), or look at validation.near_duplicate"
            ),
            where=IMAGE,
            column="leak_of",
            names_other="leak_of",
        ),
        rule(
            "near-duplicate",
            "warning",
            "No two images of train, and no two of test, show the same.",
            "ExpectColumnValuesToBeNull",
            lambda f: f"looks like {f['near_duplicate_of']}: it adds little (validation.near_duplicate)",
            where=IMAGE,
            column="near_duplicate_of",
            names_other="near_duplicate_of",
        ),
    ]


def exposure_rules(settings: ValidationSettings, *, has_batch: bool) -> list[Rule]:
    """What `exposure.compare` measured, held against its limits."""
    limit, shift = settings.max_deviation, settings.max_shift
    known = [
        rule(
            name,
            "warning",
            f"No good part's {name} is {limit:g} robust deviations and more from the median.",
            "ExpectColumnValuesToBeBetween",
            functools.partial(_apart, name),
            where=IMAGE,
            column=f"{name}_z",
            min_value=-limit,
            max_value=limit,
        )
        for name in MEASURES
    ]
    if not has_batch:
        return known
    return known + [
        rule(
            f"{name}-shift",
            "warning",
            f"The newest batch's median {name} is within {shift:g} robust deviations of what came before.",
            "ExpectColumnMedianToBeBetween",
            functools.partial(_shifted, name),
            where=(*IMAGE, ("batch", "==", NEWEST)),
            column=f"{name}_z",
            min_value=-shift,
            max_value=shift,
        )
        for name in MEASURES
    ]


def _apart(name: str, facts: Facts) -> str:
    """How an image differs from the others in brightness or sharpness."""
    z = facts[f"{name}_z"]
    said = f"is far {_word(name, z)} than the other good parts"
    return f"{said}, by {abs(z):.1f} robust deviations (validation.max_deviation)"


def _shifted(name: str, facts: Facts) -> str:
    z = facts["observed"]
    count = sum(f["batch"] == NEWEST for f in facts["files"])
    return (
        f"the {counted(count, 'normal image')} that came last are {_word(name, z)} than those before, by {abs(z):.1f} "
        f"robust deviations; has the light, the lens or the camera changed? (validation.max_shift)"
    )


def _word(name: str, z: float) -> str:
    words = {"brightness": ("darker", "brighter"), "sharpness": ("less sharp", "sharper")}
    return words[name][int(z > 0)]
