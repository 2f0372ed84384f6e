"""Objects in S3 or any S3-compatible server (AWS_ENDPOINT_URL): the plain requests that every such server answers.

No object tags, no user metadata, no conditional writes: some servers ignore or mangle them.
"""

import contextlib
import functools
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from destseg import Error
from destseg.settings import read_environment

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})
_ATTEMPTS = 4
_CUT = (HTTPClientError, IncompleteReadError, HTTPError)  # a connection that stalls or ends too soon, in a body too


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """Read from DESTSEG_S3_TIMEOUT."""

    s3_timeout: float = 60.0
    """Seconds without a byte from the server after which a request is tried again, four times in all."""

    def __post_init__(self) -> None:
        if not self.s3_timeout > 0:
            raise ValueError(f"s3_timeout is {self.s3_timeout}, expected seconds above 0")


class MissingObject(Error):
    """The object is not there, or not any more."""


class ObjectTooLarge(Error):
    """The object is larger than the caller takes."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object of a listing."""

    key: str
    size: int
    etag: str
    modified: datetime


def bucket_name() -> str:
    """The bucket of inbox and quarantine: DESTSEG_BUCKET."""
    name = os.environ.get("DESTSEG_BUCKET", "")
    if not name:
        raise Error("DESTSEG_BUCKET is not set; expected the name of the S3 bucket that holds inbox/")
    return name


def list_objects(bucket: str, prefix: str = "") -> Iterator[Object]:
    """The objects whose keys begin with `prefix`, in the order of their keys."""
    with _errors(bucket, prefix):
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield Object(
                    key=found["Key"], size=found["Size"], etag=found["ETag"].strip('"'), modified=found["LastModified"]
                )


def download(bucket: str, key: str, max_bytes: int) -> tuple[bytes, str]:
    """(content, ETag) of the whole object; an ObjectTooLarge before it is read when it has more than `max_bytes`."""
    with _errors(bucket, key):
        for attempt in range(1, _ATTEMPTS + 1):
            response = _client().get_object(Bucket=bucket, Key=key)
            size, body = response["ContentLength"], response["Body"]
            with contextlib.closing(body):
                if size > max_bytes:
                    raise ObjectTooLarge(f"s3://{bucket}/{key} has {size:,} bytes, expected at most {max_bytes:,}")
                try:
                    return body.read(), response["ETag"].strip('"')  # raises when it is not `size` bytes
                except _CUT:  # botocore tries requests again, but not the reading of a body
                    if attempt == _ATTEMPTS:
                        raise
            time.sleep(random.uniform(0.5, 1) * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")


def upload(bucket: str, key: str, content: bytes) -> None:
    """Write the object, over one that is there."""
    with _errors(bucket, key):
        _client().put_object(Bucket=bucket, Key=key, Body=content)


def copy(bucket: str, key: str, to: str) -> None:
    """Copy the object within the bucket, on the server, whatever its size."""
    with _errors(bucket, key):
        _client().copy({"Bucket": bucket, "Key": key}, bucket, to)


def etag(bucket: str, key: str) -> str | None:
    """The object's ETag, None when it is not there."""
    try:
        with _errors(bucket, key):
            return _client().head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
    except MissingObject:
        return None


def delete_if_unchanged(bucket: str, key: str, expected: str) -> bool:
    """Delete the object if its ETag is `expected`: True when it is gone, False when another has taken its place.

    An object that is replaced between the look and the deletion is lost; writers to an inbox use fresh keys.
    """
    found = etag(bucket, key)
    if found == expected:
        with _errors(bucket, key):
            _client().delete_object(Bucket=bucket, Key=key)
    return found in (expected, None)


def _client() -> "S3Client":
    identity = (os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY"))
    return _client_of(_endpoint(), read_environment(S3Settings).s3_timeout, *identity)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


@functools.cache
def _client_of(endpoint: str | None, timeout: float, *_credentials: str | None) -> "S3Client":
    """One client, which threads may share, for each endpoint and identity that the environment has named."""
    settings = Config(
        connect_timeout=min(5.0, timeout),
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},  # few private servers have a host name per bucket
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", config=settings, endpoint_url=endpoint)


@contextmanager
def _errors(bucket: str, key: str) -> Iterator[None]:
    """What boto3 raises, as an Error that names the object and the server."""
    where = f"s3://{bucket}/{key} at {_endpoint() or 'AWS'}"
    try:
        yield
    except ClientError as error:
        raise _refusal(where, error) from None
    except _CUT as error:
        tried = f"the server or the network failed in each of {_ATTEMPTS} attempts"
        raise Error(f"{where}: {tried} ({error}); look at them, then run again") from None
    except (ResponseParserError, KeyError) as error:  # a login page, a server of another kind
        said = str(error).splitlines()[0][:200]
        raise Error(f"{where}: this is no answer of an S3 server ({said}); check AWS_ENDPOINT_URL") from None
    except BotoCoreError as error:
        raise Error(f"{where}: {error}; check AWS_ENDPOINT_URL and the credentials in the environment") from None


def _refusal(where: str, error: ClientError) -> Error:
    """An answer of the server that is no success."""
    code = error.response.get("Error", {}).get("Code", "")
    if code == "NoSuchBucket":
        return Error(f"{where}: the bucket does not exist; create it or set DESTSEG_BUCKET")
    if code in _ABSENT:
        return MissingObject(f"{where} does not exist")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return Error(
            f"{where}: the server failed in each of {_ATTEMPTS} attempts ({error}); look at it, then run again"
        )
    return Error(f"{where}: {error}; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do")
