"""What was written down of a training when it was registered, as far as the version's tags vouch for it."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.files import sha256
from destseg.registry import evidence
from destseg.registry.evidence import Lineage
from destseg.registry.listing import address

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def lineage(version: "ModelVersion") -> Lineage:
    """The lineage of a candidate or released version; an Error where it is not what was registered."""
    import mlflow

    uri, tags = address(version), version.tags
    with tempfile.TemporaryDirectory() as folder:
        got = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=evidence.LINEAGE, dst_path=folder
        )
        digest = sha256(Path(got))
        try:
            found = Lineage(**json.loads(Path(got).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise Error(f"{uri}: {evidence.LINEAGE} of its run cannot be read ({error})") from None
    vouched = {
        "dataset_version": found.dataset_version,
        "commit": found.commit,
        "training_key": found.training_key,
        "params_hash": evidence.params_hash(found.params),
        evidence.LINEAGE_TAG: digest,
    }
    for name, value in vouched.items():
        if tags.get(name) != value:
            raise Error(
                f"{uri}: {evidence.LINEAGE} of its run says {name} {value}, the version's tag {tags.get(name)}; "
                f"one of them was changed after it was registered"
            )
    return found
