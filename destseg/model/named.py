"""What a model is made of, in words that reports, pages and the registry share. Needs no torch."""

from collections.abc import Mapping

NETWORK = "paper"  # of models from before there were two
BACKBONE = "resnet18"  # likewise
LICENCE = "not recorded"


def teacher_in_words(teacher: Mapping[str, str]) -> str:
    """Source, backbone and licence of a teacher by its metadata, of which older models have the source alone.

    >>> teacher_in_words({"source": "formula", "backbone": "resnet18", "licence": "Apache-2.0"})
    'formula (backbone resnet18, licence: Apache-2.0)'
    >>> teacher_in_words({"source": "imagenet", "sha256": "f37072fd"})
    'imagenet (backbone resnet18, licence: not recorded)'
    """
    source, licence = teacher.get("source", "not stated"), teacher.get("licence", LICENCE)
    return f"{source} (backbone {teacher.get('backbone', BACKBONE)}, licence: {licence})"
