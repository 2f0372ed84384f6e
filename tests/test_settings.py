"""params.yaml and the environment: read into the type that is asked for, or refused with one clear sentence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from destseg import Error
from destseg.settings import categories, read_environment, read_params, read_section, read_seed


@dataclass(frozen=True, kw_only=True)
class Oven:
    """A component's settings."""

    minutes: int = 10
    heat: float = 200.0
    mode: Literal["top", "fan"] = "top"
    fan: bool = False
    note: str | None = None

    def __post_init__(self) -> None:
        if self.minutes < 0:
            raise ValueError(f"minutes is {self.minutes}, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A component with a setting that has no default."""

    folder: Path


def params(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_defaults_then_the_section_then_the_category(tmp_path: Path) -> None:
    path = params(tmp_path, "oven: {minutes: 20, heat: 180}\ncategories: {bread: {oven: {minutes: 45}}, cake: }\n")
    assert read_section("oven", Oven, path=path) == Oven(minutes=20, heat=180.0)
    assert read_section("oven", Oven, category="bread", path=path) == Oven(minutes=45, heat=180.0)
    assert read_section("oven", Oven, category="cake", path=path) == Oven(minutes=20, heat=180.0)
    assert read_section("missing", Oven, path=path) == Oven()
    assert categories(path) == ["bread", "cake"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oven: {minuts: 20}", r"oven\.minuts is no setting; known here: minutes, heat"),
        ("oven: {minutes: 2.5}", r"oven\.minutes is 2\.5, expected int"),
        ("oven: {minutes: true}", r"oven\.minutes is True, expected int"),
        ("oven: {heat: hot}", r"oven\.heat is 'hot', expected float"),
        ("oven: {mode: side}", r"oven\.mode is 'side', expected one of 'top', 'fan'"),
        ("oven: {fan: 1}", r"oven\.fan is 1, expected bool"),
        ("oven: [1, 2]", r"oven is \[1, 2\], expected a mapping"),
        ("oven: {minutes: -1}", r"oven: minutes is -1, expected 0 or more"),
        ("oven: {minutes: 1", r"cannot be read as YAML: .* line 1"),
        ("- oven", r"holds list, expected a mapping of sections"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Error, match=message):
        read_section("oven", Oven, path=params(tmp_path, text))


def test_unknown_category_says_which_there_are_and_how_to_add_one(tmp_path: Path) -> None:
    path = params(tmp_path, "categories: {bread: {}}")
    with pytest.raises(Error, match=r"'soup' is not in .* \(there: bread\); add it with `destseg dataset add soup"):
        read_section("oven", Oven, category="soup", path=path)


def test_missing_file_and_missing_setting_are_said(tmp_path: Path) -> None:
    with pytest.raises(Error, match="root of a destseg repository"):
        read_params(tmp_path / "params.yaml")
    with pytest.raises(Error, match=r"needed\.folder is missing, expected Path"):
        read_section("needed", Needed, path=params(tmp_path, "seed: 3"))


def test_seed_is_a_whole_number(tmp_path: Path) -> None:
    assert read_seed(params(tmp_path, "seed: 3")) == 3
    with pytest.raises(Error, match="seed is 'x'"):
        read_seed(params(tmp_path, "seed: x"))


def test_environment_fills_the_same_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVEN_MINUTES", "7")
    monkeypatch.setenv("OVEN_FAN", "1")
    monkeypatch.setenv("OVEN_NOTE", "hot")
    assert read_environment(Oven, prefix="OVEN_") == Oven(minutes=7, fan=True, note="hot")
    monkeypatch.setenv("OVEN_MINUTES", "soon")
    with pytest.raises(Error, match="OVEN_MINUTES is 'soon', expected int"):
        read_environment(Oven, prefix="OVEN_")
