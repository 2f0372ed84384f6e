"""What the tests share: a real S3 server on disk and a git origin whose DVC remote lies on it."""

import gc
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil
import pytest

# Loaded before any heavy library: one thread per test process, so that parallel tests don't fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
gc.set_threshold(10_000)  # as destseg/__main__.py

# What they do they mostly wait for, so that others have the cores.
LONGEST = ("test_orchestration", "test_flows", "test_pipeline")
PARAMS = """\
# Parameters of the tests.
seed: 0
image:
  size: 64
  bit_depth: 8
student:
  steps: 10
ingest:
  min_batch: 1
promotion: {}
categories: {}  # name: its overrides
"""
DVC_CONFIG = """\
[core]
    remote = storage
    analytics = false
    check_update = false
['remote "storage"']
    url = s3://{bucket}/dvc
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes first, the longest before all: at the end no worker waits long for another."""
    items.sort(key=lambda item: ("integration" not in item.path.parts, item.path.stem not in LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that an earlier run remembered answers for this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DESTSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real S3 server (rclone on disk) that the environment names, as a worker's does."""
    folder = tmp_path_factory.mktemp("s3")
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path_factory.mktemp("dvc-site")),
        "DO_NOT_TRACK": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        address, process = _started(folder)
        try:
            patch.setenv("AWS_ENDPOINT_URL", address)
            yield address
        finally:
            process.terminate()
            process.wait(10)


def _started(folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """A server over `folder`, on a port that no other process took meanwhile."""
    log = folder.parent / "rclone.log"
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = [Path(sys.executable).with_name("rclone"), "serve", "s3", "--addr", address, "--auth-key"]
        command += ["test,test-secret", "--dir-cache-time", "1s", "--config", os.devnull, folder]
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if _listens(process, int(address.partition(":")[2])):
                return f"http://{address}", process
            time.sleep(0.05)
        process.kill()
        process.wait()
    raise AssertionError(f"no S3 server starts: {log.read_text()}")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is this process that listens there."""
    try:
        found = psutil.Process(process.pid).net_connections("tcp")
    except psutil.Error:  # it has ended
        return False
    return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in found)


@dataclass(frozen=True)
class Origin:
    """A bare git repository with a minimal project in it, and the bucket that its DVC remote lies in."""

    path: Path
    bucket: str

    def clone(self, into: Path) -> Path:
        """A clean clone with an empty DVC cache, as a flow run on a fresh machine has one."""
        _git(into.parent, "clone", "--quiet", str(self.path), str(into))
        return into


def make_bucket(server: str) -> str:
    """Name of a new, empty bucket."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    # A session of its own: boto3.client would go on with the keys that its first caller had in the environment.
    boto3.Session().client("s3", endpoint_url=server).create_bucket(Bucket=name)
    return name


def make_origin(folder: Path, bucket: str) -> Origin:
    """A project with no dataset yet: params.yaml and DVC's configuration, on branch main."""
    bare, seed = folder / "origin.git", folder / "seed"
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    _git(folder, "init", "--quiet", "--initial-branch=main", str(seed))
    (seed / ".dvc").mkdir()
    (seed / ".dvc/config").write_text(DVC_CONFIG.format(bucket=bucket))
    (seed / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (seed / "params.yaml").write_text(PARAMS)
    _git(seed, "add", ".")
    _git(seed, "commit", "--quiet", "-m", "A project without data")
    _git(seed, "push", "--quiet", str(bare), "main")
    return Origin(path=bare, bucket=bucket)


def _git(root: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com", *arguments]
    subprocess.run(command, cwd=root, check=True)


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a new, empty bucket, which DESTSEG_BUCKET names too."""
    name = make_bucket(s3_server)
    monkeypatch.setenv("DESTSEG_BUCKET", name)
    return name


@pytest.fixture
def origin(tmp_path: Path, bucket: str) -> Origin:
    """A project of this test's own, without data."""
    return make_origin(tmp_path, bucket)


@pytest.fixture(scope="module")
def shared_origin(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Origin:
    """A project that the tests of one file share, because its first dataset version takes seconds to make."""
    return make_origin(tmp_path_factory.mktemp("shared"), make_bucket(s3_server))
