"""The compact network with the weights that its teacher comes with, for tests of what holds for both networks."""

import functools
import tempfile
from pathlib import Path

from destseg.model.backbone import Backbone
from destseg.model.network import DeSTSeg
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.student import Network
from destseg.model.teacher import load_teacher, new_teacher

LITE0 = TeacherSettings(source="efficientnet-lite0")
NETWORKS: tuple[Network, ...] = ("paper", "compact")


@functools.cache
def lite0(*, deep: bool = True) -> Backbone:
    """The frozen teacher, which nothing may change."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "teacher.safetensors")
        fetch(LITE0, path)
        return load_teacher(path, deep=deep)[0]


def teacher_for(network: Network) -> Backbone:
    """A teacher that a student of this network can learn from; for the paper's one of random weights."""
    return lite0() if network == "compact" else new_teacher()


def untrained(network: Network, width: int = 8) -> DeSTSeg:
    """The whole network before its training."""
    if network == "paper":
        return DeSTSeg(width)
    found = DeSTSeg(width, network="compact", backbone="efficientnet-lite0")
    found.teacher = lite0(deep=False)
    found.student.start_from(lite0())
    return found
