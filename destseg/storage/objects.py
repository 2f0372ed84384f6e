"""A program that asks DVC about one dataset version, and prints the answer as a line of JSON.

    python objects.py list 3f2a....dir                    # MD5 by name of its files, from the cache or the remote
    python objects.py absent data/mvtec/washer.dvc        # how many of its objects the remote does not have

`dvc ls` and `dvc status --cloud` answer the same, but read the stages of all categories first: 6 s of 200.
"""

import json
import sys
from typing import Any


def listed(repo: Any, version: str) -> dict[str, str]:
    """The files of the version, none of them downloaded."""
    from dvc_data.hashfile import check
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    hashed, cache = HashInfo("md5", version), repo.cache.local
    try:
        check(cache, cache.get(version))  # it takes a list away that is not what its name says
    except (FileNotFoundError, ObjectFormatError):
        repo.cloud.pull([hashed])
    return {"/".join(key): content.value for key, _, content in Tree.load(cache, hashed)}


def absent(repo: Any, pointer: str) -> int:
    """Objects that the remote does not have."""
    from dvc.repo.index import Index

    used = Index.from_file(repo, pointer).used_objs(force=True, push=True)
    states = [repo.cloud.status(objects) for database, objects in used.items() if database is None]
    return sum(len(state.new) + len(state.missing) for state in states)


def main(question: str, about: str) -> None:
    """Prints the answer, or ends with DVC's reason for having none."""
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            print(json.dumps({"list": listed, "absent": absent}[question](repo, about)))
    except Exception as error:  # those of DVC, botocore and the disk have no common parent but this
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
