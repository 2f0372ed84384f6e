"""A program that asks DVC's remote for what one .dvc file names: `python pushed.py data/mvtec/washer.dvc`.

It prints, as JSON, how many objects the remote does not have. `dvc status --cloud` answers the same, but reads the
stages of all categories first: 6 s of 200.
"""

import json
import sys


def main(pointer: str) -> None:
    """Prints the answer; ends with DVC's reason where there is none."""
    from dvc.repo import Repo
    from dvc.repo.index import Index

    try:
        with Repo() as repo:
            used = Index.from_file(repo, pointer).used_objs(force=True, push=True)
            states = [repo.cloud.status(objects) for database, objects in used.items() if database is None]
    except Exception as error:  # whatever it was: the last line says it
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps({"absent": sum(len(state.new) + len(state.missing) for state in states)}))


if __name__ == "__main__":
    main(sys.argv[1])
