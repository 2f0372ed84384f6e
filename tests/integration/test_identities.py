"""Who may change what in a real MLflow server with accounts: trainer and quality engineer, each denial tried."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

from destseg import Error
from destseg.registry import integrity, log
from destseg.registry.addresses import resolve
from destseg.registry.connection import candidates, log_model, released, released_experiment
from destseg.registry.evidence import Lineage
from destseg.registry.grants import GRANTS, things
from destseg.registry.history import history
from destseg.registry.init import Initialised, init
from destseg.registry.policy import promote_by_policy
from destseg.registry.promotion import promote, rollback
from destseg.registry.register import submit
from destseg.registry.verify import NO_ENTRY, verify

from .server import mlflow_server, password

CATEGORY = "washer"
MODEL, CANDIDATES, LOG = released(CATEGORY), candidates(CATEGORY), log_model(CATEGORY)
TRAINED, RELEASED = MODEL, released_experiment(CATEGORY)
REFUSED = r"Permission denied|403"
REFUSALS = (MlflowException, requests.HTTPError)  # the latter of a file


@dataclass
class Registry:
    """A server with accounts, on which the quality engineer has released the trainer's first candidate."""

    url: str
    done: Initialised | None = None
    champion: str = ""

    @contextmanager
    def account(self, name: str) -> Iterator[MlflowClient]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", self.url)
            patch.setenv("MLFLOW_TRACKING_USERNAME", name)
            patch.setenv("MLFLOW_TRACKING_PASSWORD", password(name))
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            yield MlflowClient(self.url, self.url)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield Registry(url)


@pytest.fixture(scope="module")
def registry(server: Registry) -> Registry:
    """Names and grants as an administrator makes them before anyone else is let in, all by `destseg registry init`."""
    with server.account("admin"):
        for role in GRANTS:
            AuthServiceClient(server.url).create_user(role, password(role))
        server.done = init([CATEGORY], {role: [role] for role in GRANTS})
    return server


@pytest.fixture
def released_model(
    registry: Registry,
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    compared: Callable[..., object],
) -> Registry:
    """The same with a champion: trained and registered by the trainer, released by the quality engineer."""
    if not registry.champion:
        root = results(CATEGORY)
        with registry.account("trainer"):
            assert submit(CATEGORY, lineage(root, "key"), root=root).version == 1
            compared(CATEGORY)
        with registry.account("quality") as client:
            promote(CATEGORY, why="the first one", root=root)
            registry.champion = str(client.get_registered_model(MODEL).aliases["champion"])
    return registry


def run_of(client: MlflowClient) -> str:
    return str(client.get_model_version(MODEL, "1").run_id)


def model_of(client: MlflowClient) -> str:
    return str(client.get_model_version(MODEL, "1").source).removeprefix("models:/")


CHANGES: dict[str, Callable[[MlflowClient], object]] = {
    "create version": lambda c: c.create_model_version(MODEL, c.get_model_version(CANDIDATES, "1").source),
    "copy version": lambda c: c.copy_model_version(f"models:/{CANDIDATES}/1", MODEL),
    "set champion": lambda c: c.set_registered_model_alias(MODEL, "champion", "1"),
    "set another alias": lambda c: c.set_registered_model_alias(MODEL, "mine", "1"),
    "delete alias": lambda c: c.delete_registered_model_alias(MODEL, "champion"),
    "set version tag": lambda c: c.set_model_version_tag(MODEL, "1", "metrics", "{}"),
    "delete version tag": lambda c: c.delete_model_version_tag(MODEL, "1", "files"),
    "set model tag": lambda c: c.set_registered_model_tag(MODEL, "category", "other"),
    "delete model tag": lambda c: c.delete_registered_model_tag(MODEL, "category"),
    "describe version": lambda c: c.update_model_version(MODEL, "1", "better"),
    "describe model": lambda c: c.update_registered_model(MODEL, "better"),
    "move to a stage": lambda c: c.transition_model_version_stage(MODEL, "1", "Archived"),
    "delete version": lambda c: c.delete_model_version(MODEL, "1"),
    "delete model": lambda c: c.delete_registered_model(MODEL),
    "rename model": lambda c: c.rename_registered_model(MODEL, f"{MODEL}-old"),
    "start a released run": lambda c: c.create_run(c.get_experiment_by_name(RELEASED).experiment_id),
    "change a released run": lambda c: c.log_metric(run_of(c), "image_auroc", 1.0),
    "tag a released run": lambda c: c.set_tag(run_of(c), "commit", "0" * 40),
    "delete a released run": lambda c: c.delete_run(run_of(c)),
    "delete the released experiment": lambda c: c.delete_experiment(c.get_experiment_by_name(RELEASED).experiment_id),
    "add a file to a released run": lambda c: c.log_text(run_of(c), "better", "report.html"),
    "archive and replace the versions": lambda c: c.transition_model_version_stage(
        MODEL, "1", "Production", archive_existing_versions=True
    ),
    "create version from its own files": lambda c: c.create_model_version(MODEL, "s3://elsewhere/model"),
    "take the alias along": lambda c: c.set_registered_model_alias(MODEL, "champion", "2"),
    "tag the released model": lambda c: c.set_logged_model_tags(model_of(c), {"commit": "0" * 40}),
    "delete a tag of the released model": lambda c: c.delete_logged_model_tag(model_of(c), "mlflow.user"),
    "finish the released model as failed": lambda c: c.finalize_logged_model(model_of(c), "FAILED"),
    "delete the released model": lambda c: c.delete_logged_model(model_of(c)),
    "make a model of its own among the released": lambda c: c.create_logged_model(
        c.get_experiment_by_name(RELEASED).experiment_id
    ),
    "end a released run": lambda c: c.set_terminated(run_of(c), "FAILED"),
    "rename a released run": lambda c: c.update_run(run_of(c), name="better"),
    "delete a tag of a released run": lambda c: c.delete_tag(run_of(c), "commit"),
    "add a parameter to a released run": lambda c: c.log_param(run_of(c), "steps", 1),
    "rename the released experiment": lambda c: c.rename_experiment(
        c.get_experiment_by_name(RELEASED).experiment_id, "another"
    ),
    "tag the released experiment": lambda c: c.set_experiment_tag(
        c.get_experiment_by_name(RELEASED).experiment_id, "mine", "1"
    ),
    "delete an entry of the log": lambda c: c.delete_model_version(LOG, "1"),
    "delete a tag of an entry": lambda c: c.delete_model_version_tag(LOG, "1", "why"),
    "delete the log": lambda c: c.delete_registered_model(LOG),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings(
    "ignore::FutureWarning"
)  # stages are deprecated, which does not keep anyone from using them
def test_a_trainer_changes_nothing_of_what_is_released(released_model: Registry, change: str) -> None:
    with (
        released_model.account("trainer") as client,
        pytest.raises(REFUSALS, match=REFUSED),
    ):
        CHANGES[change](client)


def test_what_is_served_is_the_same_after_all_that_a_trainer_tried(
    released_model: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the line's address leads to: version, tags, files as they are downloaded; and the history behind it."""
    before = served(released_model, tmp_path / "before", monkeypatch)
    with released_model.account("trainer") as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for change in CHANGES.values():
            with pytest.raises(REFUSALS, match=REFUSED):
                change(client)
        # What it may do: all that is its own.
        client.set_model_version_tag(CANDIDATES, "1", "metrics", '{"image_auroc": 1.0}')
        client.set_registered_model_alias(CANDIDATES, "champion", "1")
        client.log_text(client.get_model_version(CANDIDATES, "1").run_id, "better", "evaluation/report.html")
        client.create_model_version(LOG, "destseg-log:/washer", tags={"event": "promoted", "who": "quality"})
    assert served(released_model, tmp_path / "after", monkeypatch) == before
    with released_model.account("quality"):
        about = {finding.about for finding in verify(CATEGORY, files=True).errors}
    assert about == {f"models:/{CANDIDATES}/1", f"models:/{LOG}/6"}  # what it did is seen


def served(
    registry: Registry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, object], dict[str, str]]:
    monkeypatch.setenv("DESTSEG_CACHE", str(cache))
    with registry.account("line") as client:
        version = client.get_model_version_by_alias(MODEL, "champion")
        package = resolve(f"models:/{MODEL}@champion")
        return {**dict(version), "aliases": None}, integrity.digests(package)


def test_a_trainer_s_names_do_not_reach_what_is_served(released_model: Registry) -> None:
    """EDIT renames: the candidates away, and nothing onto the released model's name."""
    with released_model.account("trainer") as client:
        with pytest.raises(MlflowException, match="already exists"):
            client.rename_registered_model(CANDIDATES, MODEL)
        client.rename_registered_model(LOG, f"{LOG}-hidden")
    with released_model.account("quality"):
        assert any(finding.text == NO_ENTRY for finding in verify(CATEGORY).errors)
    with released_model.account("admin") as client:
        client.rename_registered_model(f"{LOG}-hidden", LOG)
    with released_model.account("trainer") as client:
        assert client.search_model_versions(f"name='{LOG}'")


@pytest.mark.parametrize("change", ["set champion", "set version tag", "delete model", "change a released run"])
def test_the_line_reads_only(released_model: Registry, change: str) -> None:
    with released_model.account("line") as client:
        assert client.get_model_version_by_alias(MODEL, "champion").version == released_model.champion
        with pytest.raises(REFUSALS, match=REFUSED):
            CHANGES[change](client)
        with pytest.raises(REFUSALS, match=REFUSED):
            client.get_model_version(CANDIDATES, "1")


def test_ingest_looks_a_training_up_and_registers_none(released_model: Registry) -> None:
    with released_model.account("ingest") as client:
        assert client.search_model_versions(f"name='{CANDIDATES}' and tags.`training_key`='key'")
        assert client.search_model_versions(f"name='{MODEL}'")
        source = client.get_model_version(CANDIDATES, "1").source
        for act in (
            lambda: client.create_model_version(CANDIDATES, source),
            lambda: client.set_registered_model_alias(CANDIDATES, "challenger", "1"),
            lambda: client.set_registered_model_alias(MODEL, "champion", "1"),
            lambda: client.create_model_version(LOG, "destseg-log:/washer", tags={"event": "promoted"}),
        ):
            with pytest.raises(REFUSALS, match=REFUSED):
                act()
        assert [entry.event for entry in log.read(client, CATEGORY)][:2] == ["begun", "registered"]


@pytest.mark.parametrize(
    "change",
    [
        "delete version",
        "delete model",
        "delete the released experiment",
        "delete an entry of the log",
        "delete the log",
    ],
)
def test_a_quality_engineer_deletes_no_history(released_model: Registry, change: str) -> None:
    with (
        released_model.account("quality") as client,
        pytest.raises(REFUSALS, match=REFUSED),
    ):
        CHANGES[change](client)


def test_a_trainer_writes_no_file_of_a_released_model(released_model: Registry) -> None:
    with released_model.account("trainer") as client:
        source = client.get_model_version(MODEL, "1").source.removeprefix("models:/")
        place = f"{client.get_experiment_by_name(RELEASED).experiment_id}/models/{source}/artifacts"
        own = client.get_experiment_by_name(TRAINED).experiment_id
        run, mine = run_of(client), client.create_run(own).info.run_id
    files = f"{released_model.url}/api/2.0/mlflow-artifacts/artifacts"
    login = httpx.BasicAuth("trainer", password("trainer"))
    with httpx.Client(auth=login, trust_env=False, timeout=60) as web:
        assert web.get(files, params={"path": place}).status_code == 200
        assert web.put(f"{files}/{own}/probe", content=b"its own place").status_code == 200
        for path in (f"{place}/MLmodel", f"{own}/%2E%2E/{place}/MLmodel", f"{own}%2F..%2F{place}/MLmodel"):
            assert web.put(f"{files}/{path}", content=b"worse").status_code >= 400
            assert web.delete(f"{files}/{path}").status_code >= 400
            ajax = f"{released_model.url}/ajax-api/2.0/mlflow-artifacts"  # the same for a browser
            assert web.put(f"{ajax}/artifacts/{path}", content=b"worse").status_code >= 400
            for step in ("create", "complete", "abort"):  # an upload in parts
                assert (
                    web.post(f"{ajax}/mpu/{step}/{path}", json={"path": "MLmodel", "num_parts": 1}).status_code >= 400
                )
        upload = f"{released_model.url}/ajax-api/2.0/mlflow/upload-artifact"
        assert web.post(upload, params={"run_uuid": run, "path": "a.html"}, content=b"worse").status_code >= 400
        assert web.post(upload, params={"run_uuid": mine, "path": "a.html"}, content=b"mine").status_code == 200


ANONYMOUS = [
    ("GET", "registered-models/get?name=" + MODEL),
    ("GET", "model-versions/search"),
    ("POST", "registered-models/alias"),
    ("POST", "model-versions/create"),
    ("POST", "runs/create"),
    ("GET", "mlflow-artifacts/artifacts"),
    ("POST", "users/create"),
    ("PATCH", "users/update-admin"),
]


@pytest.mark.parametrize(("method", "path"), ANONYMOUS)
def test_nobody_without_an_account_gets_an_answer(registry: Registry, method: str, path: str) -> None:
    prefix = "" if path.startswith("mlflow-artifacts") else "mlflow/"
    for login in (None, httpx.BasicAuth("trainer", "guessed")):
        url = f"{registry.url}/api/2.0/{prefix}{path}"
        answer = httpx.request(method, url, auth=login, json={} if method != "GET" else None, trust_env=False)
        assert answer.status_code == 401, (url, answer.text)


def test_a_trainer_manages_no_account(registry: Registry) -> None:
    with registry.account("trainer"):
        accounts = AuthServiceClient(registry.url)
        for act in (
            lambda: accounts.create_user("friend", password("friend")),
            lambda: accounts.update_user_admin("trainer", True),
            lambda: accounts.update_user_password("admin", password("taken")),
            lambda: accounts.delete_user("quality"),
            lambda: accounts.grant_user_permission("trainer", "registered_model", MODEL, "MANAGE"),
        ):
            with pytest.raises(REFUSALS, match=REFUSED):
                act()


def test_init_says_what_it_created_and_granted_and_a_second_one_finds_all_of_it(registry: Registry) -> None:
    done = registry.done
    assert done is not None
    assert done.created == tuple(f"created: {thing}; managed by admin" for thing in things(CATEGORY))
    assert f"line has READ on the registered model {MODEL} now" in done.granted
    assert len(done.granted) == 18
    assert done.present + done.changed == ()
    with registry.account("admin"):
        again = init([CATEGORY], {role: [role] for role in GRANTS})
    assert len(again.present) == 5 + 18
    assert again.created + again.granted + again.changed == ()


def test_init_takes_from_a_trainer_what_came_from_training_before_it(registry: Registry) -> None:
    with registry.account("trainer") as client:
        client.create_registered_model(released("early"))
        client.create_experiment(released("early"))
    with registry.account("admin"):
        assert f"there already: registered model {released('early')}; managed by trainer" in init(["early"], {}).present
        done = init(["early"], {"trainer": ["trainer"]})
        assert done.changed == (
            f"trainer has EDIT on the experiment {released('early')} now, MANAGE before",
            f"trainer has READ on the registered model {released('early')} now, MANAGE before",
        )
        assert f"there already: registered model {released('early')}; managed by the administrators" in done.present
        less = init(["early"], {"line": ["trainer"]})
        assert f"trainer has no grant on the experiment {released('early')} now, EDIT before" in less.changed
    with registry.account("trainer") as client, pytest.raises(REFUSALS, match=REFUSED):
        client.get_experiment_by_name(released("early"))
    with registry.account("trainer") as client, pytest.raises(REFUSALS, match=REFUSED):
        client.set_registered_model_tag(released("early"), "mine", "1")


@pytest.mark.parametrize(
    ("account", "roles", "said"),
    [
        ("trainer", {"quality": ["trainer"]}, "trainer is no administrator of the registry"),
        (
            "admin",
            {"trainer": ["bob"], "line": ["eve", "line"]},
            r"has no account bob or eve; .*creates.* at .*/signup",
        ),
        ("admin", {"quality": ["admin"]}, "admin may do everything as an administrator"),
    ],
)
def test_init_creates_nothing_where_it_cannot_grant(
    registry: Registry, account: str, roles: dict[str, list[str]], said: str
) -> None:
    with registry.account(account), pytest.raises(Error, match=said):
        init(["bolt"], roles)
    with registry.account("admin") as client:
        assert client.search_registered_models(f"name='{released('bolt')}'") == []
        assert client.get_experiment_by_name(released("bolt")) is None


def test_a_trainer_promotes_by_policy_while_an_administrator_lets_it_and_else_is_told_what_to_ask_for(
    registry: Registry,
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    compared: Callable[..., object],
) -> None:
    name, trainer, quality = "nut", ["trainer"], ["quality"]

    def train(key: str) -> Path:
        root = results(name, weights=key.encode())
        submit(name, lineage(root, key, category=name), root=root)
        compared(name)
        params = root / "params.yaml"
        params.write_text(params.read_text().replace("min_image_auroc", "policy: auto, min_image_auroc"))
        return root

    with registry.account("admin"):
        init([name], {"trainer": trainer, "quality": quality})
    with registry.account("trainer"):
        root = train("a")
    with registry.account("quality"):
        promote(name, why="the first one", root=root)
    with registry.account("trainer"):
        root = train("b")
        with pytest.raises(
            Error,
            match=r"promoting nut is not allowed to trainer; an administrator of the registry at .* has to grant EDIT "
            "on the registered models destseg-nut and destseg-nut-log and on the experiment destseg-nut-released",
        ):
            promote_by_policy(name, root)
        assert [entry.version for entry in history(name)] == [1]
    with registry.account("admin"):
        init([name], {"trainer": trainer, "quality": [*quality, *trainer]})
    with registry.account("trainer"):
        assert promote_by_policy(name, root).promoted
        assert [entry.who for entry in history(name)] == ["quality", "trainer"]
        assert verify(name).findings == ()
    with registry.account("admin"):
        init([name], {"trainer": trainer, "quality": quality})
    with registry.account("trainer"):
        with pytest.raises(Error, match=r"rolling nut back is not allowed to trainer"):
            rollback(name, why="mine is worse")
        (note,) = verify(name).findings  # the log could be written, the released model could not
    assert (note.severity, "rolling-back" in note.text, "by trainer" in note.text) == ("note", True, True)
    assert note.text.endswith("was not carried out: refused to that account, or cut short")
