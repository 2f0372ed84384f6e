"""Photographs are decoded a batch ahead, which changes no prediction; batch and precision are the caller's choice."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from destseg import Error
from destseg.dataset.images import ImageError, load_all
from destseg.inference.predictor import Predictor
from destseg.inference.scorer import TorchScorer, default_batch
from destseg.model.calibration import Calibration
from destseg.model.card import CARD, ModelCard
from destseg.model.network import DeSTSeg
from destseg.model.weights import MODEL, save_weights

SIZE = 64
BATCH = 2
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> DeSTSeg:
    torch.manual_seed(0)
    return DeSTSeg(8, encoder_decoder=False).eval()


@pytest.fixture(scope="module")
def model(network: DeSTSeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that scoring in torch takes."""
    calibration = Calibration(
        threshold=0.5,
        target_rate=0.01,
        provable_rate=0.6,
        confidence=0.95,
        images=3,
        heat_low=0.0,
        heat_high=1.0,
        scores=(0.4, 0.5),
    )
    card = ModelCard(
        category="washer",
        size=SIZE,
        bit_depth=8,
        segmentation_width=8,
        encoder_decoder=False,
        teacher={"source": "formula", "sha256": "0" * 64},
        calibration=calibration,
        training_images="1" * 64,
        destseg="0.1.0",
    )
    folder = tmp_path_factory.mktemp("model")
    save_weights(folder / MODEL, network)
    (folder / CARD).write_text(card.to_json())
    return folder


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.load(model, batch=BATCH)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven, no two alike."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(7)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("batch", [None, 1, 3, 8])
def test_each_photograph_has_its_own_score_in_its_place(
    predictor: Predictor, network: DeSTSeg, photographs: list[Path], batch: int | None
) -> None:
    scores, maps = TorchScorer(network, CPU).score(load_all(photographs, predictor.image))
    assert np.ptp(scores) > 1e-4
    found = list(predictor.predict(iter(photographs), batch=batch))
    np.testing.assert_allclose([p.score for p in found], scores, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.stack([p.map for p in found]), maps, rtol=0, atol=1e-6)


def test_a_broken_photograph_is_said_after_the_predictions_of_the_batches_before(
    predictor: Predictor, photographs: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photographs[0].read_bytes()[:200])
    expected = [p.score for p in predictor.predict(photographs[:4])]
    found = predictor.predict([*photographs[:5], broken])
    assert [next(found).score for _ in range(4)] == expected
    with pytest.raises(ImageError, match=r"broken\.png cannot be decoded"):
        next(found)


def test_no_more_than_one_batch_is_read_ahead(predictor: Predictor, photographs: list[Path]) -> None:
    asked = 0

    def camera() -> Iterator[Path]:
        nonlocal asked
        for path in itertools.cycle(photographs):
            asked += 1
            yield path

    found = predictor.predict(camera())
    assert asked == 0
    for batch in range(1, 4):
        for _ in range(BATCH):
            next(found)
            assert asked <= (batch + 1) * BATCH
    found.close()
    assert asked <= 4 * BATCH


def test_a_line_that_waits_for_each_verdict_gets_it(predictor: Predictor, photographs: list[Path]) -> None:
    verdict = threading.Event()

    def line() -> Iterator[Path]:
        for path in photographs[:3]:
            verdict.clear()
            yield path
            assert verdict.wait(20), "the next photograph was waited for before the verdict came"

    count = 0
    for _ in predictor.predict(line(), batch=1):
        count += 1
        verdict.set()
    assert count == 3


def test_no_thread_is_left_when_the_caller_stops_early(predictor: Predictor, photographs: list[Path]) -> None:
    before = set(threading.enumerate())
    found = predictor.predict(itertools.cycle(photographs))
    next(found)
    assert set(threading.enumerate()) - before
    found.close()
    assert not set(threading.enumerate()) - before


def test_no_thread_is_left_when_the_scoring_fails(predictor: Predictor, photographs: list[Path]) -> None:
    class Failing:
        batch = BATCH

        def score(self, _images: torch.Tensor) -> Any:
            raise RuntimeError("out of memory")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="out of memory"):
        next(Predictor(Failing(), predictor.card).predict(itertools.cycle(photographs)))
    assert not set(threading.enumerate()) - before


def test_batch_and_precision_reach_the_scorer(model: Path) -> None:
    def loaded(**options: Any) -> tuple[int, torch.dtype]:
        scorer = Predictor.load(model, **options).scorer
        assert isinstance(scorer, TorchScorer)
        return scorer.batch, next(scorer.network.parameters()).dtype

    assert loaded() == (default_batch(CPU), torch.float32)
    assert loaded(batch=3, precision="bfloat16") == (3, torch.bfloat16)


@pytest.mark.parametrize("precision", ["bfloat16", "auto"])
def test_an_exported_file_has_no_choice_of_precision(tmp_path: Path, precision: Any) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(Error, match=rf"model\.onnx fixes its own precision, float32, but precision is '{precision}'"):
        Predictor.load(tmp_path / "model.onnx", precision=precision)


def test_the_command_line_scores_in_the_precision_and_batch_it_is_told(
    model: Path, predictor: Predictor, photographs: list[Path]
) -> None:
    command = [sys.executable, "-m", "destseg", "predict", "--precision", "bfloat16", "--batch", "1", model]
    done = subprocess.run([*command, *photographs[:2]], capture_output=True, text=True, timeout=120, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in photographs[:2]]
    exact = [p.score for p in predictor.predict(photographs[:2])]
    scores = [line["score"] for line in lines]
    assert scores != [round(score, 6) for score in exact]
    np.testing.assert_allclose(scores, exact, rtol=0, atol=0.005)
