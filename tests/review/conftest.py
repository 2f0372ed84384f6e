"""The registry's results, and servers for those who ask for them."""

from ..registry.conftest import lineage, results
from .factory import factory, servers

__all__ = ["factory", "lineage", "results", "servers"]
