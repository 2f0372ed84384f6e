"""deploy/ against a real Prefect server that asks for its auth string: the string, the work pools, notifications."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import websockets
from moto.server import ThreadedMotoServer

from destseg.local import loopback
from destseg.storage.process import QUIET

from .server import running, until

DEPLOY = Path(__file__).parents[2] / "deploy"
AUTH = "admin:a long password"
FLOW = "from prefect import flow\n\n\n@flow\ndef tiny() -> int:\n    return 1\n"
PROJECT = """
name: tiny
definitions: {{gpus: &variables {{gpus: {gpus}}}}}
deployments:
  - {{name: on-kubernetes, entrypoint: "tiny.py:tiny", work_pool: {{name: kubernetes, job_variables: *variables}}}}
  - {{name: on-docker, entrypoint: "tiny.py:tiny", work_pool: {{name: docker, job_variables: *variables}}}}
pull:
  - prefect.deployments.steps.set_working_directory: {{directory: "."}}
"""
WAITING = """
name: tiny
deployments:
  - name: poll
    entrypoint: "tiny.py:tiny"
    work_pool: {name: cpu}
    triggers: [{type: event, enabled: true, posture: Reactive, expect: [destseg.inbox.changed]}]
"""


class Server:
    """A Prefect server behind its auth string."""

    def __init__(self, folder: Path) -> None:
        self.folder, address = folder, loopback.address(folder, "prefect")
        self.url = f"{address}/api"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.anonymous = kept | QUIET | {"PREFECT_API_URL": self.url, "PREFECT_HOME": str(folder / "client")}
        self.client = self.anonymous | {"PREFECT_API_AUTH_STRING": AUTH}
        self.server = self.anonymous | {
            "PREFECT_HOME": str(folder / "server"),
            "PREFECT_SERVER_API_AUTH_STRING": AUTH,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": address.rpartition(":")[2],
        }

    def cli(self, *arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=env or self.client, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def deploy(self, project: str) -> None:
        (self.folder / "tiny.py").write_text(FLOW)
        (self.folder / "prefect.yaml").write_text(project)
        done = self.cli("deploy", "--all")
        assert done.returncode == 0, " ".join((done.stdout + done.stderr).split())

    def post(self, path: str, body: Any, auth: str | None = AUTH) -> httpx.Response:
        return self._ask("POST", path, auth, json=body)

    def get(self, path: str) -> httpx.Response:
        return self._ask("GET", path, AUTH)

    def _ask(self, method: str, path: str, auth: str | None, **body: Any) -> httpx.Response:
        name, _, secret = (auth or "").partition(":")
        login = httpx.BasicAuth(name, secret) if auth else None
        return httpx.request(method, f"{self.url}{path}", auth=login, trust_env=False, timeout=60, **body)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("prefect"))
    command = [sys.executable, "-m", "prefect", "server", "start"]
    with running(command, server.folder, server.server, f"{server.url}/health"):
        yield server


ROUTES = [
    ("/flows/filter", {}),
    ("/deployments/filter", {}),
    ("/work_pools/", {"name": "stolen", "type": "process"}),
    ("/flow_runs/filter", {}),
    ("/block_documents/filter", {}),
    ("/variables/filter", {}),
    ("/events", []),
    ("/events/filter", {}),
    ("/automations/filter", {}),
    ("/logs/filter", {}),
    ("/artifacts/filter", {}),
]


@pytest.mark.parametrize(("path", "body"), ROUTES, ids=[path for path, _ in ROUTES])
def test_no_route_answers_without_the_auth_string(prefect: Server, path: str, body: Any) -> None:
    assert prefect.post(path, body, auth=None).status_code == 401
    assert prefect.post(path, body, auth="admin:guessed").status_code == 401
    if path != "/work_pools/":
        assert prefect.post(path, body).status_code in (200, 204)


def test_no_stream_of_events_opens_without_the_auth_string(prefect: Server) -> None:
    async def answer(secret: str | None) -> dict[str, Any]:
        address = prefect.url.replace("http", "ws", 1) + "/events/out"
        async with websockets.connect(address, subprotocols=[websockets.Subprotocol("prefect")], proxy=None) as socket:
            await socket.send(json.dumps({"type": "auth", "token": secret}))
            found: dict[str, Any] = json.loads(await socket.recv())
            return found

    assert asyncio.run(answer(AUTH))["type"] == "auth_success"
    for secret in (None, "admin:guessed"):
        with pytest.raises(websockets.ConnectionClosed):
            asyncio.run(answer(secret))


def test_a_worker_or_engineer_without_it_gets_nowhere(prefect: Server) -> None:
    refused = prefect.cli("work-pool", "ls", env=prefect.anonymous)
    assert refused.returncode != 0
    assert "401" in refused.stderr + refused.stdout


def test_work_pools_take_the_templates_and_deployments(prefect: Server) -> None:
    for kind in ("kubernetes", "docker"):
        template = DEPLOY / f"{kind}-pool.json"
        made = prefect.cli("work-pool", "create", kind, "--type", kind, "--base-job-template", str(template))
        assert made.returncode == 0, made.stdout + made.stderr
        pool = prefect.get(f"/work_pools/{kind}").json()
        assert (pool["type"], pool["base_job_template"]) == (kind, json.loads(template.read_text()))

    prefect.deploy(PROJECT.format(gpus=2))
    found = prefect.post("/deployments/filter", {"deployments": {"tags": {"is_null_": True}}}).json()
    gpus = {one["name"]: one["job_variables"]["gpus"] for one in found if one["name"].startswith("on-")}
    assert gpus == {"on-kubernetes": 2, "on-docker": 2}

    with pytest.raises(AssertionError, match=r"many.* is not of type .*integer"):
        prefect.deploy(PROJECT.format(gpus="many"))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any, str]]:
    """S3 client, SQS client and the address of the queue that the bucket tells of new objects below inbox/."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anyone")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3, sqs = (boto3.Session().client(kind, endpoint_url=f"http://{host}:{port}") for kind in ("s3", "sqs"))
    queue = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    s3.create_bucket(Bucket="destseg")
    tell = json.loads((DEPLOY / "notification.json").read_text())
    tell["QueueConfigurations"][0]["QueueArn"] = arn
    s3.put_bucket_notification_configuration(Bucket="destseg", NotificationConfiguration=tell)
    yield s3, sqs, queue
    server.stop()


@pytest.fixture
def notify(prefect: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """deploy/notify.py with the environment of its unit."""
    monkeypatch.setenv("PREFECT_API_URL", prefect.url)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
    spec = importlib.util.spec_from_file_location("notify", DEPLOY / "notify.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_photographs_in_the_bucket_start_the_deployment_that_waits_for_the_event(
    prefect: Server, bucket: tuple[Any, Any, str], notify: Any
) -> None:
    s3, sqs, queue = bucket
    prefect.cli("work-pool", "create", "cpu", "--type", "process")
    prefect.deploy(WAITING)

    assert notify.forward(sqs, queue, wait=0) == []  # S3's own test message, which is taken out
    for name in ("1 a.png", "2+ü.png"):
        s3.put_object(Bucket="destseg", Key=f"inbox/washer/{name}", Body=b"photograph")
    s3.put_object(Bucket="destseg", Key="dvc/files/md5/ab/c", Body=b"nobody's concern")
    assert notify.forward(sqs, queue, wait=5) == ["inbox/washer/1 a.png", "inbox/washer/2+ü.png"]
    assert notify.forward(sqs, queue, wait=0) == []

    runs = until(lambda: prefect.post("/flow_runs/filter", {"deployments": {"name": {"any_": ["poll"]}}}).json())
    assert [run["state_name"] for run in runs] in (["Scheduled"], ["Late"])
    (event,) = until(lambda: events(prefect))
    assert event["payload"] == {"objects": 2, "first": "inbox/washer/1 a.png"}


def events(prefect: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = prefect.post(
        "/events/filter", {"filter": {"event": {"name": ["destseg.inbox.changed"]}}}
    ).json()["events"]
    return found


def test_a_message_stays_until_prefect_has_the_event(
    bucket: tuple[Any, Any, str], notify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, sqs, queue = bucket
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "0"})
    s3.put_object(Bucket="destseg", Key="inbox/washer/1.png", Body=b"photograph")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:guessed")
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        notify.forward(sqs, queue, wait=5)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
    assert notify.forward(sqs, queue, wait=5) == ["inbox/washer/1.png"]
