"""`destseg registry init` on a store without accounts, and the table of grants that a server with accounts gets."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.dataset.layout import check_category
from destseg.registry import log
from destseg.registry.connection import candidates, connect, log_model, released, released_experiment
from destseg.registry.evidence import Lineage
from destseg.registry.grants import GRANTS, things, wanted
from destseg.registry.init import init
from destseg.registry.promotion import promote
from destseg.registry.register import submit

DEPLOY = Path(__file__).parents[2] / "docs/deploy.md"


def names(category: str) -> tuple[str, ...]:
    return tuple(map(str, things(category)))


@pytest.mark.usefixtures("store")
def test_models_and_experiments_are_created_once(category: str) -> None:
    first = init([category, f"{category[:38]}-b", category], {})
    assert first.created == tuple(f"created: {name}" for one in (category, f"{category[:38]}-b") for name in names(one))
    assert first.present + first.granted + first.changed == ()
    client = connect()
    for model in (candidates(category), released(category), log_model(category)):
        assert client.get_registered_model(model).tags == {"category": category}
    places = {
        client.get_experiment_by_name(n).artifact_location
        for n in (released(category), f"{released(category)}-released")
    }
    assert len(places) == 2

    assert [entry.event for entry in log.read(client, category)] == ["begun"]

    again = init([category], {})
    assert again.present == tuple(f"there already: {name}" for name in names(category))
    assert again.created + again.granted + again.changed == ()
    assert len(log.read(client, category)) == 1


@pytest.mark.usefixtures("store")
def test_what_a_training_made_before_is_completed(
    category: str, results: Callable[..., Path], lineage: Callable[..., Lineage], compared: Callable[..., Any]
) -> None:
    root = results(category)
    assert submit(category, lineage(root, "a", category=category), root=root).version == 1
    done = init([category], {})
    candidate, training, *others, entries = names(category)
    assert done.present == tuple(f"there already: {name}" for name in (candidate, training, entries))
    assert done.created == tuple(f"created: {name}" for name in others)
    compared(category)
    assert promote(category, why="first", root=root).version == 1
    runs = connect().search_runs([connect().get_experiment_by_name(released_experiment(category)).experiment_id])
    assert len(runs) == 2  # of the model, and of its comparison


@pytest.mark.usefixtures("store")
def test_grants_without_accounts_are_refused_before_anything_is_made(category: str) -> None:
    with pytest.raises(Error, match=r"mlflow\.db has no accounts, so nothing can be granted to ada, grace; leave them"):
        init([category], {"trainer": ["ada"], "quality": ["grace"]})
    assert connect().search_registered_models(f"name='{released(category)}'") == []


@pytest.mark.parametrize("wrong", ["../x", "washer-released", "washer-candidates", "washer-log"])
@pytest.mark.usefixtures("store")
def test_a_name_that_is_none_or_another_category_s_makes_nothing(wrong: str) -> None:
    with pytest.raises(Error, match=f"category '{re.escape(wrong)}': "):
        init(["first", wrong], {})
    assert connect().get_experiment_by_name(released("first")) is None


def test_no_category_can_be_named_as_what_another_one_has_in_the_registry() -> None:
    others = {thing.name.removeprefix("destseg-") for thing in things("washer")} - {"washer"}
    assert len(others) == 3
    for name in others:
        with pytest.raises(Error, match="take it for a part of category 'washer'; choose a name that does not"):
            check_category(name)
    assert check_category("washer-logs") == "washer-logs"


def test_an_account_with_two_roles_has_the_stronger_permission() -> None:
    both = wanted("washer", {"line": ["ada"], "ingest": ["ada"], "quality": ["grace"], "trainer": ["grace"]})
    assert [both["ada", thing] for thing in things("washer")] == ["READ"] * 5
    assert [both["grace", thing] for thing in things("washer")] == ["EDIT"] * 5


def test_the_guide_lists_what_is_granted() -> None:
    rows = re.findall(r"^ +\| `--(\w+)` \|(.*)\|$", DEPLOY.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {role: tuple(cell.strip() for cell in cells.split("|")) for role, cells in rows}
    assert listed == {role: tuple(one or "-" for one in grants) for role, grants in GRANTS.items()}
    head = "| role | " + " | ".join(str(thing).replace("washer", "<category>") for thing in things("washer")) + " |"
    assert head.replace("_", " ") in DEPLOY.read_text(encoding="utf-8").replace("`", "")
