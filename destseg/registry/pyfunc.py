"""Logs a package as an MLflow model: models-from-code, with the source files that scoring needs beside the weights."""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from destseg.registry import imports

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

SCORING = "destseg.inference.predictor"
CODE = Path(__file__).with_name("pyfunc_model.py")
PACKAGE = "package"
ALSO = ("mlflow", "pandas")  # what pyfunc_model.py itself imports


def scoring_requirements() -> list[str]:
    """`name==version` of every installed library that the registered model may load."""
    return imports.requirements((*imports.closure(SCORING).libraries, *ALSO))


def log(package: Path, requirements: list[str], metadata: dict[str, str]) -> "ModelInfo":
    """Logs `package` into the active run; the code is this installation's, never one that came with the package."""
    import mlflow

    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        # An input example would have MLflow run the model to look at its output; the signature says it all.
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        imports.copy(imports.closure(SCORING).files, Path(temporary))
        if package.name != PACKAGE:  # MLflow keeps the folder's name, which in the cache is a hash, and takes no link
            package = Path(shutil.copytree(package, Path(temporary) / PACKAGE))
        info: ModelInfo = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(CODE),
            artifacts={PACKAGE: str(package)},
            code_paths=[str(Path(temporary) / imports.PACKAGE)],
            pip_requirements=requirements,
            signature=_signature(),
            metadata=metadata,
        )
    return info


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "image")]),
        outputs=Schema(
            [
                ColSpec(DataType.double, "score"),
                ColSpec(DataType.boolean, "anomalous", required=False),
                ColSpec(DataType.string, "heatmap"),
            ]
        ),
    )
