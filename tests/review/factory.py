"""An MLflow server with accounts, a champion and a waiting challenger on it, and `destseg review` before it."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient
from mlflow.server.auth.client import AuthServiceClient

from destseg.dataset.accepted import accepted_path
from destseg.files import sha256
from destseg.local import loopback
from destseg.registry import comparison
from destseg.registry.addresses import find
from destseg.registry.connection import candidates, connect, released
from destseg.registry.grants import GRANTS
from destseg.registry.history import released_versions, succession
from destseg.registry.init import init
from destseg.registry.listing import address
from destseg.registry.promotion import promote
from destseg.registry.register import submit
from destseg.storage.process import QUIET

from ..integration.server import mlflow_server, password, running
from .comparisons import content, write

ROOT = Path(__file__).parents[2]
CATEGORY = "washer"
PEOPLE = {"quality": "ada", "trainer": "trainer", "line": "line", "ingest": "ingest"}


@dataclass
class Factory:
    """The servers, and what an engineer and a trainer have done on them."""

    folder: Path
    mlflow: str
    page: str = ""
    root: Path = Path()
    made: list[str] = field(default_factory=list)

    @contextmanager
    def account(self, name: str) -> Iterator[MlflowClient]:
        """This process acts as `name`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", self.mlflow)
            patch.setenv("MLFLOW_TRACKING_USERNAME", name)
            patch.setenv("MLFLOW_TRACKING_PASSWORD", password(name))
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            yield MlflowClient(self.mlflow, self.mlflow)

    def champion(self) -> int | None:
        """What models:/destseg-washer@champion is, by MLflow."""
        with self.account("line") as client:
            return int(client.get_registered_model(released(CATEGORY)).aliases.get("champion", 0)) or None

    def train(
        self,
        results: Callable[..., Path],
        lineage: Callable[..., Any],
        key: str,
        *,
        model: Path | None = None,
        **changes: Any,
    ) -> int:
        """A training registers a challenger, the package `model` or one of no weights, compared with the champion."""
        root = results(CATEGORY, weights=key.encode())
        if model is not None:
            package = root / "build" / CATEGORY / "package"
            shutil.rmtree(package)
            shutil.copytree(model, package)
            card = json.loads((package / "model.json").read_text(encoding="utf-8"))
            card |= {"category": CATEGORY, "training_images": sha256(accepted_path(CATEGORY, root))}
            (package / "model.json").write_text(json.dumps(card), encoding="utf-8")
        with self.account("trainer"):
            number = submit(CATEGORY, lineage(root, key), root=root).version
            self.compare(**changes)
        self.made.append(key)
        return number

    def compare(self, **changes: Any) -> None:
        """Keeps a comparison of the challenger, as this process's account."""
        client = connect()
        challenger = find(client, candidates(CATEGORY), alias="challenger")
        line = succession(released_versions(client, CATEGORY))
        champion = line[-1] if line else None
        with tempfile.TemporaryDirectory() as folder:
            known = content(CATEGORY, champion=None if champion is None else int(champion.version), **changes)
            for role, version in {"challenger": challenger, "champion": champion}.items():
                if version is not None:
                    known[role]["address"] = address(version)
            write(Path(folder) / "files", known)
            comparison.log(client, CATEGORY, challenger, comparison.number(champion), Path(folder) / "files")


@contextmanager
def review_server(root: Path, mlflow: str) -> Iterator[str]:
    """Address of `destseg review` in a checkout, started as a person starts it: without any account of MLflow's."""
    url = loopback.address(root, "review")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    env |= QUIET | {"MLFLOW_TRACKING_URI": mlflow, "DESTSEG_CACHE": str(root / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "destseg", "review", "--port", url.rpartition(":")[2]]
    with running(command, root, env, f"{url}/static/review.css"):
        yield url


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    """Both servers, and the accounts and grants of an administrator."""
    folder, root = tmp_path_factory.mktemp("factory"), tmp_path_factory.mktemp("checkout")
    (root / "params.yaml").write_text("promotion: {}\ncategories: {washer: {}}\n", encoding="utf-8")
    with ExitStack() as stack:
        factory = Factory(folder=folder, mlflow=stack.enter_context(mlflow_server(folder)), root=root)
        with factory.account("admin"):
            for name in PEOPLE.values():
                AuthServiceClient(factory.mlflow).create_user(name, password(name))
            init([CATEGORY], {role: [PEOPLE[role]] for role in GRANTS})
        factory.page = stack.enter_context(review_server(root, factory.mlflow))
        yield factory


@pytest.fixture
def factory(servers: Factory, request: pytest.FixtureRequest) -> Factory:
    """The same with a champion, and a challenger that waits."""
    if not servers.made:
        results, lineage = request.getfixturevalue("results"), request.getfixturevalue("lineage")
        servers.train(results, lineage, "first")
        with servers.account("ada"):
            promote(CATEGORY, why="the first one", root=servers.root)
        servers.train(results, lineage, "second")
    return servers


class Visitor:
    """Somebody at the page without a browser: keeps cookies, sends forms as the page has them."""

    def __init__(self, page: str) -> None:
        self.web = httpx.Client(base_url=page, trust_env=False, timeout=120)

    def sign_in(self, name: str, said: str | None = None, **fields: str) -> httpx.Response:
        """Sends the sign-in form."""
        token = self.token("/sign-in")
        fields = {"csrf": token, "user": name, "password": password(name) if said is None else said, **fields}
        return self.web.post("/sign-in", data=fields)

    def token(self, path: str) -> str:
        """The token in the forms of a page."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.web.get(path).text)
        assert found is not None
        return found[1]
