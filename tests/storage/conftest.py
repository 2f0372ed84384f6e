"""The repository of the tests of versions and stages."""

from .projects import project, template

__all__ = ["project", "template"]
