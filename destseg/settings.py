"""Reads a section of params.yaml, or of the environment, into the frozen dataclass it is given. Names no component."""

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from destseg import Error

PARAMS = Path("params.yaml")
T = TypeVar("T")


def read_params(path: Path = PARAMS) -> dict[str, Any]:
    """The whole file as a mapping; an Error names the file and the line when it is missing or is no YAML mapping."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Error(f"{path} is not in {Path.cwd()}: run this in the root of a destseg repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Error(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise Error(f"{path} holds {type(content).__name__}, expected a mapping of sections such as `image:`")
    return content


def parse(text: str) -> Any:
    """What YAML says, by libyaml where PyYAML was built with it: 200 categories in 13 ms instead of 100."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def categories(path: Path = PARAMS) -> list[str]:
    """Names of the categories in params.yaml, in its order."""
    found = read_params(path).get("categories") or {}
    if not isinstance(found, dict):
        raise Error(f"{path}: `categories` is {type(found).__name__}, expected a mapping from name to its overrides")
    return [str(name) for name in found]


def read_section(section: str, into: type[T], *, category: str | None = None, path: Path = PARAMS) -> T:
    """`section` of params.yaml, `category`'s overrides on top, checked against the fields of the dataclass `into`."""
    return _build(into, merged(read_params(path), section, category, path), f"{path}: {section}")


def merged(params: Mapping[str, Any], section: str, category: str | None, path: Path) -> dict[str, Any]:
    """`section` of `params`, the content of `path`, with `category`'s overrides on top, unchecked."""
    found = _mapping(params.get(section), f"{path}: {section}")
    if category is not None:
        overrides = _overrides(params, category, path)
        found |= _mapping(overrides.get(section), f"{path}: categories.{category}.{section}")
    return found


def check_listed(category: str) -> str:
    """`category` if params.yaml has it, else an Error."""
    _overrides(read_params(PARAMS), category, PARAMS)
    return category


def _overrides(params: Mapping[str, Any], category: str, path: Path) -> dict[str, Any]:
    known = _mapping(params.get("categories"), f"{path}: categories")
    if category not in known:
        names = ", ".join(known) or "none yet"
        raise Error(
            f"category {category!r} is not in {path} (there: {names}); "
            f"add it with `destseg dataset add {category} --from DIR`"
        )
    return _mapping(known[category], f"{path}: categories.{category}")


def read_seed(path: Path = PARAMS) -> int:
    """`seed` of params.yaml: every generator of a run derives from it."""
    seed: int = _checked(read_params(path).get("seed", 0), int, f"{path}: seed")
    return seed


def read_environment(into: type[T], *, prefix: str = "DESTSEG_") -> T:
    """Each field `name` of `into` from the variable PREFIX_NAME, where that is set."""
    found = {}
    for field in dataclasses.fields(into):  # type: ignore[arg-type]  # T is a dataclass type
        value = os.environ.get(prefix + field.name.upper())
        if value:
            found[field.name] = _from_text(value, typing.get_type_hints(into)[field.name], prefix + field.name.upper())
    for field in dataclasses.fields(into):  # type: ignore[arg-type]  # T is a dataclass type
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in found:
            raise Error(f"{prefix}{field.name.upper()} is not set; expected it in the environment, see README.md")
    return _build(into, found, f"environment {prefix}*")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Error(f"{where} is {value!r}, expected a mapping of settings")
    return {str(key): item for key, item in value.items()}


def _build(into: type[T], values: dict[str, Any], where: str) -> T:
    hints = typing.get_type_hints(into)
    fields = {field.name: field for field in dataclasses.fields(into)}  # type: ignore[arg-type]  # T is a dataclass type
    if unknown := sorted(set(values) - set(fields)):
        raise Error(f"{where}.{unknown[0]} is no setting; known here: {', '.join(fields)}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in values and required:
            raise Error(f"{where}.{name} is missing, expected {_named(hints[name])}")
    checked = {name: _checked(value, hints[name], f"{where}.{name}") for name, value in values.items()}
    try:
        return into(**checked)
    except ValueError as error:  # a dataclass's own __post_init__ check
        raise Error(f"{where}: {error}") from None


def _checked(value: Any, hint: Any, where: str) -> Any:
    """`value` as `hint` (int, float, bool, str, Literal, tuple[x, ...], X | None), or an Error that names it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _checked(value, next(a for a in arguments if a is not type(None)), where)
    if origin is typing.Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) == len(value):
            return tuple(_checked(v, h, f"{where}[{i}]") for i, (v, h) in enumerate(zip(value, inner, strict=True)))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)  # 1e-3: a number in YAML 1.2, and so to DVC, but a string to PyYAML
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if hint is str and isinstance(value, str):
        return value
    raise Error(f"{where} is {value!r}, expected {_named(hint)}")


def _from_text(text: str, hint: Any, where: str) -> Any:
    plain = next((a for a in typing.get_args(hint) if a is not type(None)), hint)
    try:
        if plain is bool:
            return bool(int(text))
        return plain(text) if plain in (int, float, Path) else text
    except ValueError:
        raise Error(f"{where} is {text!r}, expected {_named(hint)}") from None


def _named(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(a) for a in typing.get_args(hint))
    return str(getattr(hint, "__name__", hint)) if not typing.get_args(hint) else str(hint)
