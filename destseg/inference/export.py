"""The network as an ONNX file: uint8 images of the model's size in, scores and maps out, the model card inside."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch

from destseg.files import replacing
from destseg.inference.onnx_scorer import CARD_KEY
from destseg.model.card import ModelCard
from destseg.model.fold import folded
from destseg.model.network import DeSTSeg


def export_onnx(network: DeSTSeg, card: ModelCard, path: Path) -> None:
    """Writes `path`: input `image` uint8 [N, 3, S, S]; outputs `score` float [N] and `map` float [N, S, S]; any N."""
    import onnx  # with onnxscript, only needed to write the file

    example = torch.zeros((2, 3, card.size, card.size), dtype=torch.uint8)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            folded(network).cpu(),
            (example,),
            input_names=["image"],
            output_names=["score", "map"],
            dynamic_shapes={"images": {0: torch.export.Dim("images", min=1, max=1024)}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    onnx.helper.set_model_props(model, {CARD_KEY: card.to_json()})
    with replacing(path) as fresh:
        onnx.save(model, fresh)
