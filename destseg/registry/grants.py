"""What each account may do with a category on an MLflow server with accounts, and how an administrator grants it."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from destseg import Error
from destseg.registry.connection import candidates, log_model, released, released_experiment, shown, tracking_uri

ORDER = (None, "READ", "EDIT")  # of an account with two roles, the stronger permission counts
MANAGE = "MANAGE"
# Of each role on the `things` of a category, in their order. EDIT creates versions, sets aliases and tags, renames, and
# deletes nothing; READ also reads the files. tests/integration/test_identities.py tries what each of them may not.
GRANTS: dict[str, tuple[str | None, ...]] = {
    "trainer": ("EDIT", "EDIT", "READ", "READ", "EDIT"),
    "quality": ("EDIT", "READ", "EDIT", "EDIT", "EDIT"),
    "ingest": ("READ", "READ", "READ", "READ", "READ"),  # `retrain-all` and `monitor` run where it does
    "line": (None, None, "READ", "READ", "READ"),
}


@dataclass(frozen=True)
class Thing:
    """What a permission is granted on."""

    kind: Literal["registered_model", "experiment"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} {self.name}"


def things(category: str) -> tuple[Thing, ...]:
    """What a category has in MLflow: candidates and the runs behind them, the released model and its runs, the log."""
    return (
        Thing("registered_model", candidates(category)),
        Thing("experiment", released(category)),
        Thing("registered_model", released(category)),
        Thing("experiment", released_experiment(category)),
        Thing("registered_model", log_model(category)),
    )


def wanted(category: str, roles: Mapping[str, Iterable[str]]) -> dict[tuple[str, Thing], str | None]:
    """The permission of each account that `roles` names (role: accounts) on each thing of the category."""
    found: dict[tuple[str, Thing], str | None] = {}
    for role, users in roles.items():
        for user in users:
            for thing, permission in zip(things(category), GRANTS[role], strict=True):
                found[user, thing] = max(found.get((user, thing)), permission, key=ORDER.index)
    return found


class Accounts:
    """The accounts of the server and their permissions, for the administrator who is signed in."""

    def __init__(self) -> None:
        self._users: dict[str, Any] = {}
        self.read()

    def read(self) -> None:
        """Learns anew who there is and what each may do: one request."""
        self._users = {user["username"]: user for user in _get("LIST_USERS")["users"]}

    def check(self, users: Iterable[str]) -> None:
        """An Error unless each of them is an account that a grant can limit."""
        named = dict.fromkeys(users)
        if unknown := [user for user in named if user not in self._users]:
            raise Error(
                f"the registry at {shown()} has no account {' or '.join(unknown)}; an administrator creates it with a "
                f"password of its own at {shown().rstrip('/')}/signup, then run this again"
            )
        if mighty := [user for user in named if self._users[user]["is_admin"]]:
            raise Error(
                f"{' and '.join(mighty)} may do everything as an administrator of the registry at {shown()}, which no "
                "grant limits; name an account that is none"
            )

    def managers(self, thing: Thing, identity: str) -> list[str]:
        """Accounts that were granted to delete the thing and to grant it on; every administrator may do so as well."""
        return [
            name
            for name, user in self._users.items()
            for _, kind, pattern, permission in _rows(user)
            if permission == MANAGE and kind in (thing.kind, "workspace") and pattern in (identity, "*")
        ]

    def granted(self, user: str, thing: Thing, identity: str) -> str | None:
        """The permission that was granted to the account itself, not to a role that it has."""
        own = f"__user_{self._users[user]['id']}__"  # MLflow keeps an account's own grants as a role with this name
        for role, kind, pattern, permission in _rows(self._users[user]):
            if (role, kind, pattern) == (own, thing.kind, identity):
                return permission
        return None

    def grant(self, user: str, thing: Thing, identity: str, permission: str | None) -> None:
        """Replaces the account's own permission; None takes it away. Read again afterwards."""
        from mlflow.server.auth.client import AuthServiceClient

        service = AuthServiceClient(tracking_uri())
        # MLflow refuses to change a permission. Killed between the two calls, the account has less until the next run.
        if self.granted(user, thing, identity) is not None:
            service.revoke_user_permission(user, thing.kind, identity)
        if permission is not None:
            service.grant_user_permission(user, thing.kind, identity, permission)


def accounts() -> Accounts | None:
    """The accounts of the registry, or None where it has none; an Error unless an administrator is signed in."""
    if not tracking_uri().startswith(("http://", "https://")):
        return None
    answer = _get("GET_CURRENT_USER", missing={})
    if not answer:
        return None
    me = answer["user"]
    if not me["is_admin"]:
        raise Error(
            f"{me['username']} is no administrator of the registry at {shown()}; whoever creates a model manages it, "
            "so an administrator has to run this (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"
        )
    return Accounts()


def _get(route: str, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of one of the routes of accounts, for which MLflow's client has no function; `missing` for a 404."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    with warnings.catch_warnings():  # the package brings the server's code along, which warns of its own libraries
        warnings.simplefilter("ignore")
        from mlflow.server.auth import routes
    endpoint: str = getattr(routes, route)
    login = get_default_host_creds(tracking_uri())  # type: ignore[no-untyped-call]  # MLflow has no types here
    answer = http_request(login, endpoint, "GET")  # type: ignore[no-untyped-call]  # the same
    if missing is not None and answer.status_code == 404:
        return missing
    content: dict[str, Any] = verify_rest_response(answer, endpoint).json()
    return content


def _rows(user: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(role, kind, identity or *, permission) of everything that was granted to the account."""
    return [
        (role["name"], row["resource_type"], row["resource_pattern"], row["permission"])
        for role in user["roles"]
        for row in role["permissions"]
    ]
