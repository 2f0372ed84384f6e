"""The page's process is killed while it carries a promotion out: what it had begun is whole or not there."""

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from destseg.registry.history import history
from destseg.registry.verify import verify

from ..integration.server import SECONDS
from .factory import CATEGORY, Factory, Visitor, review_server

KILLS = 3


def processes(url: str) -> list[psutil.Process]:
    """`destseg review` at this address, first, and what it has started."""
    wanted = ["-m", "destseg", "review", "--port", url.rpartition(":")[2]]
    page = next(one for one in psutil.Process().children(recursive=True) if one.cmdline()[1:] == wanted)
    return [page, *page.children(recursive=True)]


def promoting(page: Visitor, number: int) -> None:
    """Confirms the promotion of a candidate."""
    here = f"/categories/{CATEGORY}/candidates/{number}"
    shown = page.web.get(here).text
    seen = re.search(r'name="comparison" value="([^"]+)"', shown)
    assert seen is not None
    form = {"csrf": page.token(here), "why": "it is better", "comparison": seen[1], "override": "yes"}
    found = re.search(
        r'action="/acts/([^"]+)"', page.web.post(f"{here}/promote", data=form, follow_redirects=True).text
    )
    assert found is not None
    assert page.web.post(f"/acts/{found[1]}", data={"csrf": page.token(here)}).status_code == 303


def test_a_page_killed_while_it_promotes_leaves_one_champion_and_the_next_page_shows_it(
    factory: Factory, results: Callable[..., Path], lineage: Callable[..., Any]
) -> None:
    chance = random.Random(7)
    for kill in range(KILLS):
        number, before = factory.train(results, lineage, f"killed page {kill}"), factory.champion()
        with review_server(factory.root, factory.mlflow) as url:
            visitor = Visitor(url)
            visitor.sign_in("ada")
            promoting(visitor, number)
            time.sleep(chance.uniform(0, 5))
            page, *started = processes(url)
            page.kill()
            assert psutil.wait_procs(started, timeout=SECONDS)[1] == []  # nothing goes on without it
        with factory.account("ada"):
            after = history(CATEGORY)[-1].version  # a reader: it repairs the alias where the kill came before that
            assert verify(CATEGORY, files=True).errors == []
        assert factory.champion() == after
        again = Visitor(factory.page)
        again.sign_in("ada")
        shown = again.web.get(f"/categories/{CATEGORY}").text
        assert f"Version {after}</a>" in shown
        assert (f"Candidate {number}</a>" in shown) == (after == before)
