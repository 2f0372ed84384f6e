"""quarantine/<category>/<date>/: unusable photographs, out of the way, each with a JSON that says why."""

import hashlib
import json
import re

from destseg.ingest import inbox
from destseg.ingest.inbox import Photograph
from destseg.storage import s3

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def key(category: str, photograph: Photograph) -> str:
    """Its key in quarantine: the same each time that the same object is put there, another for another object.

    Keys come from outside, so folders and name keep harmless characters only.
    """
    below = photograph.key.removeprefix(inbox.prefix(category))
    *folders, name = [
        part for part in (_UNSAFE.sub("_", part)[:80].strip(".") for part in below.split("/")) if part
    ] or ["unnamed"]
    stem, dot, suffix = name.rpartition(".")
    identity = hashlib.sha256(f"{photograph.key}\n{photograph.etag}".encode()).hexdigest()[:8]
    date = photograph.modified[:10]
    return "/".join(
        ["quarantine", category, date, *folders[:6], f"{stem or name}-{identity}{dot}{suffix if stem else ''}"]
    )


def put(bucket: str, category: str, photograph: Photograph) -> None:
    """Move the object from the inbox, unless another has taken its place there: that one waits for the next batch."""
    if s3.etag(bucket, photograph.key) != photograph.etag:
        return
    to = key(category, photograph)
    about = {name: getattr(photograph, name) for name in ("key", "reason", "size", "etag", "sha256", "modified")}
    try:
        s3.copy(bucket, photograph.key, to)
    except s3.MissingObject:  # another run has put it there since
        return
    s3.upload(bucket, f"{to}.json", (json.dumps(about, indent=2) + "\n").encode())
    s3.delete_if_unchanged(bucket, photograph.key, photograph.etag)
