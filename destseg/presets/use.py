"""Writes a preset into params.yaml, for all categories or for one."""

from dataclasses import dataclass
from pathlib import Path

from destseg.edit import Edited, editing
from destseg.presets.preset import Preset, load, of_all, same, settings
from destseg.settings import PARAMS

NAMED = 5  # categories of each kind that a sentence names


@dataclass(frozen=True, kw_only=True)
class Used:
    """What `use` changed, and what the next `dvc repro` trains."""

    preset: str
    category: str | None
    """None: the top level of params.yaml."""
    changed: tuple[str, ...]
    """Settings that were written or taken away, such as student.steps."""
    retrained: dict[str, str]
    """The categories that `dvc repro` trains again, and the preset that each of them uses now."""

    def __str__(self) -> str:
        where = f"below categories.{self.category}" if self.category else "at its top level"
        if not self.changed:
            return f"{PARAMS} has the preset {self.preset} {where} already; nothing is changed."
        count = f"{len(self.changed)} setting{'' if len(self.changed) == 1 else 's'}"
        return f"{PARAMS}: {count} changed {where}, now of the preset {self.preset}. {self._next()}"

    def _next(self) -> str:
        if self.category:
            return f"The next `dvc repro` retrains {self.category} by it."
        if not self.retrained:
            return "There is no category yet: `destseg dataset add` makes one."
        followers = [name for name, preset in self.retrained.items() if preset == self.preset]
        others = [name for name, preset in self.retrained.items() if preset != self.preset]
        # DVC compares a section as a whole: a category that overrides all that changed runs again with the others.
        parts = [f"{_named(followers)} by this preset"] if followers else []
        parts += [f"{_named(others)} by what stands below categories"] if others else []
        what = f"all {len(self.retrained)} categories" if len(self.retrained) > 1 else "the one category"
        return f"The next `dvc repro` retrains {what}: {', '.join(parts)}."


def use(name: str, category: str | None = None, root: Path = Path()) -> Used:
    """Writes the preset's settings to the top level of params.yaml, or below a category what differs from there."""
    path, preset = root / PARAMS, load(name)
    with editing(path) as params:
        changed = write(params, preset, category)
    found = of_all(root)
    retrained = ({category: found[category]} if category else found) if changed else {}
    return Used(preset=name, category=category, changed=tuple(changed), retrained=retrained)


def write(params: Edited, preset: Preset, category: str | None = None) -> list[str]:
    """As `use`, in a file that is being edited; the names of the settings that it changed.

    Other overrides of the category stay; what of the preset the top level says is not repeated.
    """
    content = params.content()
    now, top = (settings(content, whose, params.path) for whose in (category, None))
    entry = content["categories"][category] or {} if category else content
    changed = []
    for section, own in preset.sections.items():
        where = ("categories", category, section) if category else (section,)
        given = entry.get(section) or {}
        for name, value in own.items():
            if category and same(value, top[section][name]):
                if name in given:
                    params.take((*where, name))
                    changed.append(f"{section}.{name}")
            elif name not in given or not same(value, now[section][name]):
                params.put((*where, name), value)
                changed.append(f"{section}.{name}")
    return changed


def _named(categories: list[str]) -> str:
    more = len(categories) - NAMED
    return ", ".join(categories[:NAMED]) + (f" and {more} more" if more > 0 else "")
