"""The servers of a local folder are real, answer its keys only, and never outlive their run."""

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from destseg import Error
from destseg.local import children
from destseg.local.environment import BUCKET
from destseg.local.lock import alone
from destseg.local.servers import Servers

HOLD = """
import sys, time
from pathlib import Path
from destseg.local.lock import alone
from destseg.local.servers import Servers
folder = Path(sys.argv[1])
with alone(folder), Servers(folder) as servers:
    servers.s3()
    servers.ready("s3")
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that keeps an S3 server on `tmp_path`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def client(servers: Servers, secret: str | None = None) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=servers.env["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=servers.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or servers.env["AWS_SECRET_ACCESS_KEY"],
    )


def nothing_left(folder: Path) -> bool:
    deadline = time.monotonic() + 15
    while children.owned(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not children.owned(folder)


def test_objects_and_address_outlive_a_restart(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        first = servers.s3()
        servers.ready("s3")
        client(servers).put_object(Bucket=BUCKET, Key="inbox/washer/1.png", Body=b"a photograph")
    assert nothing_left(tmp_path)
    with Servers(tmp_path) as servers:
        assert servers.s3() == first
        servers.ready("s3")
        assert client(servers).get_object(Bucket=BUCKET, Key="inbox/washer/1.png")["Body"].read() == b"a photograph"


def test_a_stranger_is_refused_and_no_command_line_shows_the_secret(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        servers.s3()
        servers.ready("s3")
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client(servers, secret="guessed").list_objects_v2(Bucket=BUCKET)
        lines = [" ".join(process.cmdline()) for process in children.owned(tmp_path)]
        assert any("rclone" in line for line in lines)
        assert not any(servers.env["AWS_SECRET_ACCESS_KEY"] in line for line in lines)


def test_a_taken_port_is_replaced(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        taken = servers.s3()
        servers.ready("s3")
        other = tmp_path / "other"
        other.mkdir()
        (other / "ports.json").write_text(json.dumps({"s3": int(taken.rpartition(":")[2])}))
        with Servers(other) as others:
            assert others.s3() != taken
            others.ready("s3")


def test_the_servers_of_a_killed_run_end(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert children.owned(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert nothing_left(tmp_path)


def test_what_a_killed_run_left_is_ended_by_the_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=children.mark(tmp_path))
    with caplog.at_level(logging.INFO), Servers(tmp_path):
        assert orphan.poll() is not None
    assert "an earlier run had left" in caplog.text


def test_two_runs_on_one_folder_do_not_meet(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:  # noqa: ARG001  # holds
    with pytest.raises(Error, match="another `destseg demo`"), alone(tmp_path):
        pass


def test_a_server_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Servers(tmp_path) as servers:
        servers.env["AWS_ACCESS_KEY_ID"] = 'a "quote'  # which rclone cannot read
        servers.s3()
        with pytest.raises(Error, match=r"the s3 server ended; its log .*s3\.log ends: .*quote"):
            servers.ready("s3")
