"""A changed dataset becomes a version that others see: data to the remote, a commit, and its push, the commit point."""

import logging
from pathlib import Path

from destseg import Error
from destseg.dataset import provenance
from destseg.storage import versions

logger = logging.getLogger(__name__)

ATTEMPTS = 5  # changes done again because another run changed the same category
_PUSHES = 20  # of one commit, when ingests of other categories push to the same branch


def publish(root: Path, category: str, message: str) -> bool:
    """Pushes the category's data and provenance as they are in the clone `root`.

    False when another run has changed the category meanwhile: then the clone is at origin's commit, and the change is
    to be done again.
    """
    versions.dvc(root, "push", versions.pointer(category).as_posix(), log=logger.info)
    versions.commit(root, [versions.pointer(category), provenance.path(category)], message)
    for _ in range(_PUSHES):
        if versions.push(root):
            return True
        if not versions.replay(root):
            logger.info("%s: another run was faster; doing it again on top of its version", category)
            return False
    raise Error(f"the push of {category} lost against others {_PUSHES} times; nothing has changed, run again")
