"""Every version that the registry holds of this project's models, and the aliases of each."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from destseg import Error
from destseg.registry.connection import PREFIX, released

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

_PAGE = 1000
Kind = TypeVar("Kind", dict[str, Any], list[Any])


class Versioned(Protocol):
    """What is read of a version, be it MLflow's own entity or what its REST API answers (rest.py)."""

    @property
    def name(self) -> str:
        """Of the registered model."""

    @property
    def version(self) -> int | str:
        """Its number."""

    @property
    def tags(self) -> Mapping[str, str]:
        """By name."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A version of a registered model."""

    version: "ModelVersion"
    category: str
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """models:/NAME/VERSION."""
        return address(self.version)

    @property
    def order(self) -> tuple[str, bool, int]:
        """By category, candidates before released versions, the oldest first."""
        return self.category, self.version.name == released(self.category), int(self.version.version)


def address(version: Versioned) -> str:
    """models:/NAME/VERSION."""
    return f"models:/{version.name}/{version.version}"


def json_tag(version: "ModelVersion", name: str, kind: type[Kind], otherwise: Kind | None = None) -> Kind:
    """What the tag `name` holds as JSON, a `kind`; an Error where somebody made it something else."""
    text = version.tags.get(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise Error(
            f"{address(version)} has tag `{name}` {(text or '')[:60]!r}, expected a JSON {kind.__name__} as `destseg "
            "register` writes it; register the model again"
        )
    return found


def every_version(client: "MlflowClient") -> list[Listed]:
    """The candidates and released versions of all categories, in `Listed.order`."""
    models = _all(client.search_registered_models, f"name LIKE '{PREFIX}%'")
    found = [listed(model, version) for model in models if _ours(model) for version in versions_of(client, model.name)]
    return sorted(found, key=lambda item: item.order)


def listed(model: "RegisteredModel", version: "ModelVersion") -> Listed:
    """A version with the aliases that its model gives it now."""
    aliases = sorted(alias for alias, number in model.aliases.items() if str(number) == str(version.version))
    return Listed(version=version, category=str(model.tags.get("category")), aliases=tuple(aliases))


def versions_of(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Every version of the registered model `name`, oldest first."""
    return sorted(_all(client.search_model_versions, f"name='{name}'"), key=lambda version: int(version.version))


def newest(client: "MlflowClient", name: str, count: int) -> "list[ModelVersion]":
    """The last `count` versions of the registered model `name`, at most 1,000, the newest first."""
    found = client.search_model_versions(f"name='{name}'", max_results=count, order_by=["version_number DESC"])
    return list(found)


def _ours(model: "RegisteredModel") -> bool:
    category = model.tags.get("category", "")
    return model.name in (f"{PREFIX}{category}", f"{PREFIX}{category}-candidates")


def _all(search: Callable[..., Any], query: str) -> list[Any]:
    found, token = [], None
    while True:
        page = search(query, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
