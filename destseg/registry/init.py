"""Creates what a category needs in MLflow before anyone trains it, and grants it to the accounts that are named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import log
from destseg.registry.connection import connect, ensure_model, experiment, explained, log_model, released, shown
from destseg.registry.grants import Accounts, Thing, accounts, things, wanted
from destseg.registry.listing import newest

if TYPE_CHECKING:
    from mlflow import MlflowClient

BEGUN = "begun"  # first entry of a log: what was released before it has none


@dataclass(frozen=True, kw_only=True)
class Initialised:
    """What was done, each a sentence."""

    created: tuple[str, ...]
    present: tuple[str, ...]
    """What was there already, grants included."""
    granted: tuple[str, ...]
    changed: tuple[str, ...]
    """Grants that were others before."""

    def __str__(self) -> str:
        return "\n".join((*self.created, *self.present, *self.granted, *self.changed))


def init(categories: Sequence[str], roles: Mapping[str, Sequence[str]]) -> Initialised:
    """Models and experiments of the categories, and the grants of `roles` (trainer, quality, ingest, line: accounts).

    Whatever is there already stays; nothing is created unless the signed-in account is an administrator and all the
    named accounts are there, where the registry has accounts.
    """
    named = [user for users in roles.values() for user in users]
    parts = {category: things(category) for category in categories}  # a wrong name ends here
    with explained(f"preparing {', '.join(parts)}"):
        client = connect()
        server = accounts()
        if server is not None:
            server.check(named)
        elif named:
            raise Error(
                f"the registry at {shown()} has no accounts, so nothing can be granted to {', '.join(named)}; leave "
                "them out, or start the server with accounts as docs/deploy.md says"
            )
        made: dict[Thing, tuple[str, bool]] = {}
        wishes: dict[tuple[str, Thing], str | None] = {}
        for category, needed in parts.items():
            made |= {thing: _ensure(client, thing, category) for thing in needed}
            if not newest(client, log_model(category), 1):
                log.append(client, category, event=BEGUN, subject=f"models:/{released(category)}", content={})
            wishes |= wanted(category, roles)
        return _result(server, made, wishes)


def _ensure(client: "MlflowClient", thing: Thing, category: str) -> tuple[str, bool]:
    """What MLflow's permissions call the thing, and whether it was created now."""
    if thing.kind == "registered_model":
        return thing.name, ensure_model(client, thing.name, category)
    new = client.get_experiment_by_name(thing.name) is None
    return experiment(client, thing.name), new


def _result(
    server: Accounts | None, made: Mapping[Thing, tuple[str, bool]], wishes: Mapping[tuple[str, Thing], str | None]
) -> Initialised:
    kept: list[str] = []
    granted: list[str] = []
    changed: list[str] = []
    if server is not None:
        for (user, thing), wish in wishes.items():
            identity, _ = made[thing]
            before = server.granted(user, thing, identity)
            if before == wish:
                kept += [f"{user} had {wish} on the {thing}"] if wish else []
                continue
            server.grant(user, thing, identity, wish)
            if before is None:
                granted.append(f"{user} has {wish} on the {thing} now")
            else:
                changed.append(f"{user} has {wish or 'no grant'} on the {thing} now, {before} before")
        server.read()
    created: list[str] = []
    present: list[str] = []
    for thing, (identity, new) in made.items():
        owner = "" if server is None else f"; managed by {_managers(server, thing, identity)}"
        (created if new else present).append(f"{'created' if new else 'there already'}: {thing}{owner}")
    return Initialised(
        created=tuple(created), present=(*present, *kept), granted=tuple(granted), changed=tuple(changed)
    )


def _managers(server: Accounts, thing: Thing, identity: str) -> str:
    return ", ".join(dict.fromkeys(server.managers(thing, identity))) or "the administrators"
