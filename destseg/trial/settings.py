"""params.yaml of a trial: the preset's settings, and what the photographs themselves say."""

from typing import Any

import yaml

from destseg.dataset.catalogue import SECTIONS
from destseg.presets.preset import Sections, load

PRESET = "compact"  # the one that a processor trains in minutes
STEPS = 350  # of each training: fewer than the preset's, as this is a first look
HEAD = """\
# Written by `destseg try`, and read by it. What you change here counts from the next run on, which then starts over.
"""


def first_look() -> Sections:
    """The preset's settings, with STEPS."""
    sections = load(PRESET).sections
    return sections | {stage: sections[stage] | {"steps": STEPS} for stage in ("student", "segmentation")}


def params(category: str, settings: Sections, seen: Sections, *, normals_only: bool) -> str:
    """The text of params.yaml: `settings` for all; for the category, what was `seen` in its photographs."""
    own: dict[str, dict[str, Any]] = {section: {**seen.get(section, {})} for section in SECTIONS}
    if normals_only:
        own["validation"]["normals_only"] = True
    content = {"seed": 0, **settings, "categories": {category: own}}
    return HEAD + yaml.safe_dump(content, sort_keys=False)
