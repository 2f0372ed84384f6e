"""The files of a version as the registry holds them now, compared with what was registered, whatever the cache says."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import comparison, integrity
from destseg.registry.addresses import download
from destseg.registry.listing import address

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def stored(version: "ModelVersion") -> str | None:
    """What is wrong with the model's files, the evidence of its run or its comparison, all downloaded anew; or None."""
    import mlflow
    from mlflow.exceptions import MlflowException

    name = address(version)
    of = f"the comparison of {name}"
    with tempfile.TemporaryDirectory() as temporary:
        try:
            expected: dict[str, str] = json.loads(version.tags.get("files", "{}"))
            download(name, expected, Path(temporary))
            record = mlflow.artifacts.download_artifacts(run_id=version.run_id, dst_path=str(Path(temporary) / "run"))
            if compared := comparison.reference(version):
                got = comparison.download(compared, Path(temporary) / "compared")
                integrity.check(got, compared.files, of=of)
        except (Error, MlflowException, OSError, ValueError) as error:
            return " ".join(str(error).split())[:300]
        found = integrity.digest(integrity.digests(Path(record)))
    if found != version.tags.get("evidence"):
        return f"the files of its run have SHA-256 {found}, registered were {version.tags.get('evidence')}"
    return None
