"""A training's results and its registration, as the registry's own tests make them."""

from ..registry.conftest import compared, lineage, results, train

__all__ = ["compared", "lineage", "results", "train"]
