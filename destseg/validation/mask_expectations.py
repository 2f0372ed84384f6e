"""What the masks of a dataset are held to."""

from pathlib import PurePosixPath

from destseg.dataset.layout import GOOD
from destseg.dataset.manifest import MASK_SUFFIX
from destseg.validation.rule import DEFECT, MASK, Facts, Rule, rule, size
from destseg.validation.settings import ValidationSettings


def mask_rules(settings: ValidationSettings) -> list[Rule]:
    """The rules about masks, in the order in which the page lists them."""
    return [
        rule(
            "mask-there",
            "error",
            "Every defect image has its mask.",
            "ExpectColumnValuesToNotBeNull",
            lambda f: f"has no mask, expected {f['mask']}",
            where=DEFECT,
            column="partner",
        ),
        rule(
            "mask-own",
            "error",
            "No two images share a mask.",
            "ExpectColumnValuesToBeNull",
            lambda f: f"shares its mask with {f['twin']}; give one of them another name",
            where=DEFECT,
            column="twin",
        ),
        rule(
            "mask-wanted",
            "error",
            "Every mask belongs to a defect image.",
            "ExpectColumnValuesToBeInSet",
            _unwanted,
            where=MASK,
            column="marks_defect",
            value_set=[True],
        ),
        rule(
            "mask-size",
            "error",
            "Every mask has the size of its image.",
            "ExpectColumnValuesToBeInSet",
            lambda f: f"is {size(f)} pixels, its image {f['partner_size']}",
            where=MASK,
            column="same_size",
            value_set=[True],
        ),
        rule(
            "mask-values",
            "error",
            "Every mask holds 0 and 255 only.",
            "ExpectColumnValuesToBeInSet",
            lambda _: "has grey values between 0 and 255, expected 0 (good) and 255 (defect) only",
            where=MASK,
            column="two_values",
            value_set=[True],
        ),
        rule(
            "mask-empty",
            "error",
            "No mask is empty.",
            "ExpectColumnValuesToBeBetween",
            lambda _: "marks no defect pixel",
            where=MASK,
            column="share",
            min_value=0,
            strict_min=True,
        ),
        rule(
            "mask-full",
            "error",
            f"No mask marks more than {settings.max_defect_share:.0%} of its image.",
            "ExpectColumnValuesToBeBetween",
            lambda f: f"marks {f['share']:.0%} of its image; is it inverted? (validation.max_defect_share)",
            where=MASK,
            column="share",
            max_value=settings.max_defect_share,
        ),
        rule(
            "mask-scaled",
            "warning",
            "Every mask still marks something at the model's size.",
            "ExpectColumnValuesToBeBetween",
            lambda _: "marks so little that nothing is left of it at the model's size (image.size)",
            where=(*MASK, ("share", ">", 0)),
            column="scaled_pixels",
            min_value=1,
        ),
    ]


def _unwanted(facts: Facts) -> str:
    if facts["kind"] == GOOD:
        return "is the mask of a good part; remove it or move the image to its defect type"
    return (
        f"has no image, expected test/{facts['kind']}/{PurePosixPath(facts['path']).name.removesuffix(MASK_SUFFIX)}.*"
    )
