"""Each identity's policy in deploy/iam, enforced by an S3 server with real signatures: what it needs works, no more."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer
from mypy_boto3_s3 import S3Client

from destseg.storage import versions
from destseg.storage.process import environment

from ..conftest import make_origin
from .line import first_version, photograph

IAM = Path(__file__).parents[2] / "deploy/iam"
BUCKET = "destseg"  # as the documents name it
IDENTITIES = ("camera", "ingest", "trainer", "engineer", "reader", "mlflow")
PLACES = ("inbox/washer/1.png", "quarantine/washer/1.png", "dvc/files/md5/ab/c", "dvc/runs/ab/c", "mlflow/1/m", "else")
READ, WRITE, DELETE = "read", "write", "delete"
RIGHTS: dict[str, dict[str, set[str]]] = {
    "camera": {"inbox": {WRITE}},
    "ingest": {"inbox": {READ, DELETE}, "quarantine": {READ, WRITE}, "dvc/files": {READ, WRITE}},
    "trainer": {"dvc/files": {READ, WRITE}, "dvc/runs": {READ, WRITE}},
    "engineer": {"inbox": {READ}, "quarantine": {READ}, "dvc/files": {READ, WRITE}, "dvc/runs": {READ, WRITE}},
    "reader": {"dvc/files": {READ}, "dvc/runs": {READ}},
    "mlflow": {"mlflow": {READ, WRITE, DELETE}},
}
ACTS: dict[str, Callable[[S3Client, str], object]] = {
    READ: lambda s3, key: s3.get_object(Bucket=BUCKET, Key=key),
    WRITE: lambda s3, key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"new"),
    DELETE: lambda s3, key: s3.delete_object(Bucket=BUCKET, Key=key),
}
FORBIDDEN: dict[str, Callable[[S3Client], object]] = {
    "PutBucketPolicy": lambda s3: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
    "DeleteBucket": lambda s3: s3.delete_bucket(Bucket=BUCKET),
    "PutBucketVersioning": lambda s3: s3.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
    ),
    "PutObjectAcl": lambda s3: s3.put_object_acl(Bucket=BUCKET, Key=PLACES[0], ACL="public-read"),
    "ListBuckets": lambda s3: s3.list_buckets(),
}


@dataclass
class Account:
    """An S3 server that enforces the documents, and the keys of each identity."""

    url: str
    keys: dict[str, tuple[str, str]]

    def client(self, identity: str, secret: str | None = None) -> S3Client:
        key, known = self.keys[identity]
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret or known,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def env(self, identity: str) -> dict[str, str]:
        key, secret = self.keys[identity]
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    admin = {"region_name": "us-east-1", "aws_access_key_id": "admin", "aws_secret_access_key": "admin"}
    iam = boto3.client("iam", endpoint_url=url, **admin)
    keys = {}
    for identity in IDENTITIES:
        iam.create_user(UserName=identity)
        iam.put_user_policy(
            UserName=identity, PolicyName=identity, PolicyDocument=(IAM / f"{identity}.json").read_text()
        )
        made = iam.create_access_key(UserName=identity)["AccessKey"]
        keys[identity] = (made["AccessKeyId"], made["SecretAccessKey"])
    s3 = boto3.client("s3", endpoint_url=url, **admin)
    s3.create_bucket(Bucket=BUCKET)
    s3.create_bucket(Bucket="other")
    for key in PLACES:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"old")
    try:
        with enable_iam_authentication():
            yield Account(url, keys)
    finally:
        server.stop()


def refused(act: Callable[[], object]) -> None:
    with pytest.raises(ClientError) as caught:
        act()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_every_document_is_tried() -> None:
    assert {path.stem for path in IAM.glob("*.json")} == set(IDENTITIES)


@pytest.mark.parametrize(("identity", "place", "act"), list(itertools.product(IDENTITIES, PLACES, ACTS)))
def test_each_act_in_each_place(account: Account, identity: str, place: str, act: str) -> None:
    client = account.client(identity)
    folder = next((name for name in RIGHTS[identity] if place.startswith(f"{name}/")), None)
    if folder and act in RIGHTS[identity][folder]:
        ACTS[act](client, f"{place}-{identity}" if act == DELETE else place)
    else:
        refused(lambda: ACTS[act](client, place))


@pytest.mark.parametrize(("identity", "act"), list(itertools.product(IDENTITIES, FORBIDDEN)))
def test_nobody_changes_the_bucket(account: Account, identity: str, act: str) -> None:
    refused(lambda: FORBIDDEN[act](account.client(identity)))


@pytest.mark.parametrize("identity", IDENTITIES)
def test_names_are_seen_by_all_but_the_camera_and_no_other_bucket_is(account: Account, identity: str) -> None:
    client = account.client(identity)
    if identity == "camera":
        refused(lambda: client.list_objects_v2(Bucket=BUCKET))
    else:
        assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] >= len(PLACES)
    refused(lambda: client.list_objects_v2(Bucket="other"))
    refused(lambda: client.put_object(Bucket="other", Key="inbox/washer/1.png", Body=b""))


def test_a_wrong_secret_is_refused(account: Account) -> None:
    refused(lambda: ACTS[WRITE](account.client("camera", secret="guessed"), PLACES[0]))


def test_no_document_uses_what_only_some_servers_enforce() -> None:
    for path in IAM.glob("*.json"):
        for statement in json.loads(path.read_text())["Statement"]:
            assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
            assert not [action for action in statement["Action"] if "*" in action]


def test_ingest_does_its_work_with_these_rights(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = make_origin(tmp_path, BUCKET)
    for name, value in {**account.env("engineer"), "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    line = first_version(origin, tmp_path)
    before = line.version()
    camera = account.client("camera")
    for name, content in {"1.png": photograph(), "2.png": photograph(), "3.png": b"no picture"}.items():
        camera.put_object(Bucket=BUCKET, Key=f"inbox/washer/{name}", Body=content)
    root = line.clone()
    command = [sys.executable, "-m", "destseg", "ingest", "washer"]
    done = subprocess.run(
        command,
        cwd=root,
        env=environment(account.env("ingest") | {"DESTSEG_BUCKET": BUCKET}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2 accepted, 1 rejected" in done.stdout
    assert line.version() != before

    for name, value in account.env("trainer").items():
        monkeypatch.setenv(name, value)
    versions.dvc(line.clone(), "pull", "data/mvtec/washer.dvc")
