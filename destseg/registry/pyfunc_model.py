"""The registered model's own code: MLflow copies this file beside the weights and runs it to load them.

It imports nothing of this package before a model is loaded: then `destseg` is the copy that travels with the model.
"""

import base64
import binascii
import io
import sys
from pathlib import Path
from typing import Any

import pandas
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

SERVER = "mlflow.pyfunc.scoring_server.app"  # the module that `mlflow models serve` runs


class DestSeg(PythonModel):
    """Scores images: a column `image` of base64 text, bytes, or paths of local files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights and the card of the artifact `package`."""
        from destseg.inference.predictor import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["package"]))

    def predict(self, context: Any, model_input: pandas.DataFrame, params: Any = None) -> pandas.DataFrame:  # noqa: ARG002  # MLflow's
        """A row per image: score, anomalous (nothing without a calibration), heatmap (a grey PNG in base64)."""
        sources = [self._source(value, row) for row, value in enumerate(model_input["image"])]
        rows = [
            {"score": found.score, "anomalous": found.anomalous, "heatmap": self._heatmap(found.map)}
            for found in self.predictor.predict(sources)
        ]
        return pandas.DataFrame(rows, columns=["score", "anomalous", "heatmap"])

    def _source(self, value: Any, row: int) -> bytes | Path:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        if isinstance(value, Path):
            return value
        text = str(value)
        # Base64 has no full stop, a picture's path has one. A server must not open files that a request names.
        if "." in text and SERVER not in sys.modules:
            return Path(text)
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"image {row} is no base64 text: {text[:40]!r}") from None

    def _heatmap(self, heat: Any) -> str:
        from PIL import Image

        calibration = self.predictor.card.calibration
        low, high = (calibration.heat_low, calibration.heat_high) if calibration else (0.0, 1.0)
        grey = ((heat - low) / max(high - low, 1e-12)).clip(0.0, 1.0) * 255.0
        buffer = io.BytesIO()
        Image.fromarray(grey.round().astype("uint8")).save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode("ascii")


set_model(DestSeg())
