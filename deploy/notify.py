"""S3's notifications in an SQS queue become the event `destseg.inbox.changed`, which starts `poll` at once.

One event for each batch of messages; a message is deleted when the server has the event, so that none is lost. The
environment names queue (DESTSEG_QUEUE_URL), server and credentials: docs/deploy.md. Runs until it is stopped.
"""

import json
import logging
import os
import time
import urllib.parse
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx

EVENT = "destseg.inbox.changed"
log = logging.getLogger("destseg.notify")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    queue = os.environ["DESTSEG_QUEUE_URL"]
    sqs = boto3.client("sqs")
    while True:
        try:
            forward(sqs, queue)
        except httpx.HTTPError as error:  # the messages come again when their visibility timeout has passed
            log.warning("Prefect did not take the event, again in 10 s: %s", error)
            time.sleep(10)


def forward(sqs: Any, queue: str, *, wait: int = 20) -> list[str]:
    """Takes what waits in the queue, at most ten messages, for `wait` s at most; returns the keys of their event."""
    answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
    messages = answer.get("Messages", [])
    keys = sorted({key for message in messages for key in inbox_keys(message["Body"])})
    if keys:
        emit(keys)
        log.info("told Prefect of %d objects", len(keys))
    if messages:
        done = [{"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=queue, Entries=done)
    return keys


def inbox_keys(body: str) -> Iterable[str]:
    """Keys below inbox/ in a message: none in the one that S3 sends when the notification is set up."""
    try:
        found: dict[str, Any] = json.loads(body)
        keys = [urllib.parse.unquote_plus(record["s3"]["object"]["key"]) for record in found.get("Records", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("a message that is no notification of S3 is dropped: %.200r", body)
        return []
    return [key for key in keys if key.startswith("inbox/")]


def emit(keys: list[str]) -> None:
    """Sends one event; an httpx.HTTPError when the server does not take it. `poll` lists the inbox itself."""
    event = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": EVENT,
        "resource": {"prefect.resource.id": "destseg.inbox"},
        "payload": {"objects": len(keys), "first": keys[0]},
    }
    name, _, secret = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
    url = f"{os.environ['PREFECT_API_URL'].rstrip('/')}/events"
    httpx.post(url, json=[event], auth=httpx.BasicAuth(name, secret), timeout=30).raise_for_status()


if __name__ == "__main__":
    main()
