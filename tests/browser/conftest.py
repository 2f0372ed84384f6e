"""A browser, and the servers that it visits."""

from ..registry.conftest import lineage, results
from ..review.factory import factory, servers
from .visits import browser

__all__ = ["browser", "factory", "lineage", "results", "servers"]
