"""Another operating point: the same weights under a new threshold, as a candidate of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destseg import Error
from destseg.dataset.accepted import accepted_path
from destseg.files import sha256
from destseg.inference.predictor import Predictor
from destseg.registry import log
from destseg.registry.addresses import find, resolve
from destseg.registry.connection import candidates, connect, released
from destseg.registry.evidence import Lineage
from destseg.registry.promotion import promote, rollback
from destseg.registry.recalibrate import recalibrate
from destseg.registry.register import by_key, submit
from destseg.registry.trace import Trace, trace
from destseg.registry.turn_down import turn_down
from destseg.registry.verify import verify

from ..packages import write_exported

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported(tmp_path_factory.mktemp("package"))


@pytest.fixture
def candidate(
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    compared: Callable[..., Any],
    category: str,
    model: Path,
) -> Path:
    """The repository's root, its training registered and compared."""
    root = results(category)
    package = root / "build" / category / "package"
    shutil.rmtree(package)
    shutil.copytree(model, package)
    card = json.loads((package / "model.json").read_text())
    card |= {"category": category, "training_images": sha256(accepted_path(category, root))}
    (package / "model.json").write_text(json.dumps(card))
    submit(category, lineage(root, "a", category=category), root=root)
    compared(category)
    return root


def test_another_operating_point_is_the_challenger_and_has_to_be_compared(
    candidate: Path, category: str, compared: Callable[..., Any]
) -> None:
    done = recalibrate(category, rate=0.5, why="rejects too little", who="Ada")
    assert (done.version, done.recalibrates, done.before, done.threshold, done.created) == (2, 1, 0.4, 0.2, True)
    client = connect()
    made = find(client, candidates(category), alias="challenger")
    assert made.version == 2
    assert made.tags["recalibrates"] == "1"
    assert json.loads(made.tags["metrics"]) == {"image_auroc": 0.97, "pixel_ap": 0.61}
    package = resolve(done.model_uri)
    for path in (package, package / "model.onnx"):
        calibration = Predictor.load(path).card.calibration
        assert calibration is not None
        assert (calibration.threshold, calibration.target_rate) == (0.2, 0.5)
        assert (calibration.heat_low, calibration.heat_high) == pytest.approx((0.05, 0.275))
    entry = log.read(client, category)[-1]
    assert (entry.who, entry.subject) == ("Ada", done.model_uri)
    assert entry.why == "threshold of candidate 1 moved to a false-reject rate of 0.5: rejects too little"

    with pytest.raises(Error, match="compared"):
        promote(category, why="better", root=candidate)
    compared(category)
    assert promote(category, why="better", root=candidate).candidate == 2
    assert connect().get_model_version(released(category), "1").tags["recalibrates"] == "1"
    assert verify(category, files=True).errors == []


def test_where_it_comes_from_can_be_traced(candidate: Path, category: str) -> None:
    done = recalibrate(category, rate=0.25, why="as the line wants")
    found = trace(done.model_uri, root=candidate)
    assert isinstance(found, Trace)
    assert found.lineage.params["calibration.false_reject_rate"] == 0.25
    assert found.lineage.dataset_version == "aa" * 16 + ".dir"
    first = by_key(connect(), category, "a")  # so that the next retraining finds its own
    assert first is not None
    assert int(first.version) == 1


def test_the_same_operating_point_is_proposed_once(candidate: Path, category: str) -> None:  # noqa: ARG001  # fixture
    first = recalibrate(category, rate=0.5, why="rejects too little")
    again = recalibrate(category, rate=0.5, why="rejects too little", version=1)
    assert (again.version, again.created) == (first.version, False)
    with pytest.raises(Error, match=r"has threshold 0\.4, which is what a false-reject rate of 0 allows"):
        recalibrate(category, rate=0.0, why="none at all", version=1)
    with pytest.raises(Error, match="needs a reason"):
        recalibrate(category, rate=0.25, why=" ")


def test_what_was_superseded_is_proposed_again(candidate: Path, category: str) -> None:  # noqa: ARG001  # fixture
    first = recalibrate(category, rate=0.5, why="rejects too little")
    assert recalibrate(category, rate=0.25, why="rather this one", version=1).version == 3
    again = recalibrate(category, rate=0.5, why="after all", who="Ada", version=1)
    assert (again.version, again.threshold, again.created) == (4, first.threshold, True)
    assert find(connect(), candidates(category), alias="challenger").version == 4
    entry = log.read(connect(), category)[-1]
    assert (entry.who, entry.why.endswith(": after all")) == ("Ada", True)
    repeated = recalibrate(category, rate=0.5, why="once more", version=1)
    assert (repeated.version, repeated.created) == (4, False)
    assert verify(category).errors == []


@pytest.mark.parametrize("superseded", [False, True])
def test_what_was_turned_down_stays_so(candidate: Path, category: str, superseded: bool) -> None:  # noqa: ARG001  # fixture
    recalibrate(category, rate=0.5, why="rejects too little")
    turn_down(category, why="stops line 3", who="Ada", version=2)
    if superseded:
        recalibrate(category, rate=0.25, why="rather this one", version=1)
    with pytest.raises(Error, match=r"/2 was turned down before by Ada, .*: stops line 3; .* choose another one, or"):
        recalibrate(category, rate=0.5, why="again", version=1)
    assert find(connect(), candidates(category), alias="challenger").version == (3 if superseded else 2)


def test_what_was_champion_is_promoted_again_instead(
    candidate: Path, category: str, compared: Callable[..., Any]
) -> None:
    promote(category, why="first", root=candidate)
    recalibrate(category, rate=0.5, why="rejects too little")
    compared(category)
    promote(category, why="better", override=True, root=candidate)
    with pytest.raises(Error, match=r"candidate 2 of .* is champion, as version 2; choose another one"):
        recalibrate(category, rate=0.5, why="again", version=1)
    rollback(category, why="stops line 3")
    with pytest.raises(Error, match=rf"was champion, as version 2; `destseg promote {category} --version 2` promotes"):
        recalibrate(category, rate=0.5, why="again", version=1)
