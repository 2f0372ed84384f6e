"""The presets that are part of the package, and which of them a category uses. Needs no torch: ingest adds by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destseg import Error
from destseg.settings import PARAMS, categories, merged, parse, read_params

FOLDER = Path(__file__).parent
DEFAULT = "compact"
"""Of a new category."""
OWN = "own settings"
"""What `of` says of settings that are those of no preset."""
Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of several sections of params.yaml; all presets name the same."""

    name: str
    whom: str
    """For whom it is."""
    sections: Sections
    path: Path
    """Its file, which `read_section` reads as it reads params.yaml."""

    def __str__(self) -> str:
        return self.path.read_text(encoding="utf-8").rstrip()


def names() -> list[str]:
    """Of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Preset:
    """The preset of this name, or an Error that lists those that there are."""
    if name not in names():
        raise Error(f"preset {name!r} does not exist; expected one of {', '.join(names())}")
    path = FOLDER / f"{name}.yaml"
    content = parse(path.read_text(encoding="utf-8"))
    return Preset(name=name, whom=content.pop("for"), sections=content, path=path)


def of(category: str | None = None, *, root: Path = Path()) -> str:
    """The preset that the category's settings in params.yaml are, None: those at its top level; else OWN."""
    return match(settings(read_params(root / PARAMS), category, root / PARAMS))


def of_all(root: Path = Path()) -> dict[str, str]:
    """`of` each category in params.yaml, in its order."""
    params, path = read_params(root / PARAMS), root / PARAMS
    return {category: match(settings(params, category, path)) for category in categories(path)}


def match(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The preset whose settings these are, or OWN."""
    return next((name for name in names() if _equal(found, load(name).sections)), OWN)


def settings(params: Mapping[str, Any], category: str | None, path: Path) -> Sections:
    """What a preset decides, as `params`, the content of `path`, has it for the category.

    What params.yaml does not name is the dataclasses' default, which the preset `paper` is.
    """
    found = {}
    for section, defaults in load("paper").sections.items():
        given = merged(params, section, category, path)
        found[section] = {name: given.get(name, default) for name, default in defaults.items()}
    return found


def same(one: Any, other: Any) -> bool:
    """Whether both are the same setting: 1e-3 is a number in YAML 1.2 and a string to PyYAML, see destseg.settings."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(_number(one) == _number(other))


def _equal(found: Mapping[str, Mapping[str, Any]], wanted: Sections) -> bool:
    return all(same(found[section][name], value) for section, own in wanted.items() for name, value in own.items())


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
