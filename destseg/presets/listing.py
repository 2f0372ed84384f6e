"""Which presets there are, and what uses them here."""

from dataclasses import dataclass
from pathlib import Path

from destseg.presets.preset import load, names, of, of_all
from destseg.settings import PARAMS


@dataclass(frozen=True, kw_only=True)
class PresetList:
    """The presets; and, where there is a params.yaml, which of them its top level and each category use."""

    presets: dict[str, str]
    """For whom each is."""
    top_level: str | None
    categories: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{name}: for {whom}" for name, whom in self.presets.items()]
        if self.top_level is not None:
            lines.append(f"{PARAMS}: {self.top_level} at its top level")
            lines += [f"  {category}: {preset}" for category, preset in self.categories.items()]
        return "\n".join(lines)


def list_presets(root: Path = Path()) -> PresetList:
    """Of this package and of the params.yaml in `root`, which need not be there."""
    here = (root / PARAMS).exists()
    return PresetList(
        presets={name: load(name).whom for name in names()},
        top_level=of(root=root) if here else None,
        categories=of_all(root) if here else {},
    )
