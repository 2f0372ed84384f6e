"""quarantine/<category>/<date>/: unusable photographs, out of the way, each with a JSON that says why."""

import hashlib
import json
import re

from destseg.ingest.arrivals import prefix
from destseg.ingest.inbox import Part, Photograph
from destseg.storage import s3

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def key(category: str, part: Part) -> str:
    """Its key in quarantine: the same each time that the same object is put there, another for another object.

    Keys come from outside, so folders and name keep harmless characters only.
    """
    below = part.key.removeprefix(prefix(category))
    *folders, name = [
        name for name in (_UNSAFE.sub("_", name)[:80].strip(".") for name in below.split("/")) if name
    ] or ["unnamed"]
    stem, dot, suffix = name.rpartition(".")
    identity = hashlib.sha256(f"{part.key}\n{part.etag}".encode()).hexdigest()[:8]
    date = part.modified[:10]
    return "/".join(
        ["quarantine", category, date, *folders[:6], f"{stem or name}-{identity}{dot}{suffix if stem else ''}"]
    )


def put(bucket: str, category: str, part: Part) -> None:
    """Move the object from the inbox, with what belongs to it, unless another has taken its place there.

    All are copied before the first is deleted, and the photograph is deleted last: a run that is killed in between is
    repeated, one killed later leaves parts that `put_before` knows.
    """
    parts = part.parts if isinstance(part, Photograph) else [part]
    moved = [
        one for one in parts if _copied(bucket, category, one, one.reason or f"belongs to {part.key}: {part.reason}")
    ]
    for one in moved:
        s3.delete_if_unchanged(bucket, one.key, one.etag)


def put_before(bucket: str, category: str, part: Part) -> bool:
    """Whether the same object is in quarantine already, as one is after a run that was killed before it deleted it."""
    return s3.etag(bucket, f"{key(category, part)}.json") is not None


def _copied(bucket: str, category: str, part: Part, reason: str) -> bool:
    """False when another object has taken its place: that one waits for the next batch."""
    if s3.etag(bucket, part.key) != part.etag:
        return False
    to = key(category, part)
    about = {name: getattr(part, name) for name in ("key", "size", "etag", "sha256", "modified")} | {"reason": reason}
    try:
        s3.copy(bucket, part.key, to)
    except s3.MissingObject:  # another run has put it there since
        return False
    s3.upload(bucket, f"{to}.json", (json.dumps(about, indent=2) + "\n").encode())
    return True
