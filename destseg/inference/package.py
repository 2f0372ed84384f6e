"""The stage `package`: one folder with all that scores this model elsewhere, each file checked against the network."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from destseg import Error, __version__, files
from destseg.dataset.accepted import accepted_path, read_accepted
from destseg.dataset.images import ImageSettings, load_all
from destseg.dataset.layout import build_dir
from destseg.inference.assemble import assemble
from destseg.inference.export import export_onnx
from destseg.inference.onnx_scorer import CARD_KEY, OnnxScorer
from destseg.inference.predictor import Predictor
from destseg.inference.scorer import TorchScorer
from destseg.model.calibration import Calibration
from destseg.model.card import CARD, ModelCard
from destseg.model.network import DeSTSeg
from destseg.model.weights import MODEL, save_weights
from destseg.settings import read_section

ONNX = "model.onnx"
GOLDEN = 4  # normal images, each also with a mark on it
# Largest difference of a score or pixel, which without a memory are in [0, 1]; float32 on other kernels gives 1e-5.
# Without a segmentation net, pixels have no such range and can all be small: there it is a share of the highest one.
TOLERANCE = 1e-3


def package(category: str) -> None:
    """Writes build/<category>/package/: model.safetensors, model.json, model.onnx, golden/ and parity.json.

    golden/ holds images of the model's size with the scores that the network gave them; a file whose scores differ by
    more than TOLERANCE is an Error, and no folder is written.
    """
    image = read_section("image", ImageSettings, category=category)
    network, teacher = assemble(category)
    calibration = _calibration(build_dir(category) / "calibration.json")
    card = ModelCard(
        category=category,
        size=image.size,
        bit_depth=image.bit_depth,
        segmentation_width=network.segmentation.width if network.segmentation else 0,
        segmentation_inputs=network.segmentation.inputs if network.segmentation else "product",
        network=network.student.network,
        backbone=network.teacher.name,
        encoder_decoder=network.student.encoder_decoder,
        memory_patches=len(network.memory.patches) if network.memory else 0,
        teacher=teacher,
        calibration=calibration,
        training_images=files.sha256(accepted_path(category)),
        destseg=__version__,
    )
    with files.replacing(build_dir(category) / "package") as folder:
        folder.mkdir()
        write_model(folder, network, card, _golden(category, image))


def _calibration(path: Path) -> Calibration | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise Error(f"{path} cannot be read ({error}): run the stage `evaluate` first") from None
    return None if content is None else Calibration.from_dict(content)


def write_model(folder: Path, network: DeSTSeg, card: ModelCard, golden: Tensor) -> None:
    """Fills an empty folder; `golden` is uint8 [N, 3, S, S]."""
    save_weights(folder / MODEL, network)
    export_onnx(network, card, folder / ONNX)
    hashes = {name: files.sha256(folder / name) for name in (MODEL, ONNX)}
    files.write_text(folder / CARD, ModelCard(**{**vars(card), "files": hashes}).to_json())
    scores, maps = TorchScorer(network, torch.device("cpu")).score(golden)
    _write_golden(folder / "golden", golden, scores)
    unit = 1.0 if network.segmentation else float(maps.max()) or 1.0
    parity = {
        MODEL: _difference(Predictor.load(folder).scorer.score(golden), (scores, maps)) / unit,
        ONNX: _difference(OnnxScorer(folder / ONNX).score(golden), (scores, maps)) / unit,
    }
    report = {"tolerance": TOLERANCE, "images": len(golden), "unit": unit, "largest_difference": parity}
    if worst := [name for name, value in parity.items() if not value <= TOLERANCE]:
        raise Error(f"{worst[0]} differs from the network by {parity[worst[0]]:.2g}, expected at most {TOLERANCE}")
    files.write_text(folder / "parity.json", json.dumps(report, indent=2) + "\n")


def with_calibration(package: Path, calibration: Calibration, into: Path) -> None:
    """The same model under another calibration, in the new folder `into`: weights, graph and scores do not change."""
    import onnx  # only who writes exported files needs it

    shutil.copytree(package, into)
    model = onnx.load(into / ONNX)
    inside = {prop.key: prop.value for prop in model.metadata_props}
    card = ModelCard.from_json(inside[CARD_KEY], str(package / ONNX))
    onnx.helper.set_model_props(
        model, {**inside, CARD_KEY: dataclasses.replace(card, calibration=calibration).to_json()}
    )
    onnx.save(model, into / ONNX)
    card = ModelCard.from_json((package / CARD).read_text(encoding="utf-8"), str(package / CARD))
    hashes = {**card.files, ONNX: files.sha256(into / ONNX)}
    files.write_text(into / CARD, dataclasses.replace(card, calibration=calibration, files=hashes).to_json())


def _golden(category: str, image: ImageSettings) -> Tensor:
    """Normal images, first those held out, and the same with a bright bar across the middle."""
    accepted = read_accepted(category)
    normal = load_all(accepted.paths((accepted.calibration + accepted.training)[:GOLDEN]), image)
    marked, middle = normal.clone(), image.size // 2
    marked[:, :, middle - image.size // 32 : middle + image.size // 32, image.size // 4 : -image.size // 4] = 255
    return torch.cat([normal, marked])


def _write_golden(folder: Path, images: Tensor, scores: np.ndarray) -> None:
    folder.mkdir()
    names = [f"{index:02d}.png" for index in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name)
    expected = dict(zip(names, scores.tolist(), strict=True))
    files.write_text(folder / "expected.json", json.dumps(expected, indent=2) + "\n")


def _difference(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest absolute difference over scores and maps; NaN counts as infinite."""
    return max(float(np.nan_to_num(np.abs(a - b), nan=np.inf).max()) for a, b in zip(found, expected, strict=True))
