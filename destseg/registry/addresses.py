"""A model's address to a local folder: models:/ addresses are downloaded once, and checked whenever they are used."""

import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from destseg import Error
from destseg.registry import integrity
from destseg.registry.connection import connect, explained, shown
from destseg.registry.listing import json_tag
from destseg.registry.pyfunc import PACKAGE
from destseg.storage import memo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)
ARTIFACTS = "artifacts"  # where MLflow puts them inside a logged model
_ADDRESS = re.compile(r"models:/(?P<name>[^/@:]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")


def resolve(model: str) -> Path:
    """The local package of `model`: models:/NAME@ALIAS, models:/NAME/VERSION, or a folder or file (as it is)."""
    if not is_address(model):
        path = Path(model)
        if not path.exists():
            raise Error(
                f"{model} does not exist; expected a folder, a file, or an address like models:/destseg-x@champion"
            )
        return path
    version = registered(model)
    with explained(f"reading {model}"):
        return fetch(version)


def is_address(model: str) -> bool:
    """Whether `model` is meant for the registry, and is no local path."""
    return model.startswith(("models:", "runs:"))


def registered(model: str) -> "ModelVersion":
    """The version at models:/NAME@ALIAS or models:/NAME/VERSION."""
    address = _ADDRESS.fullmatch(model)
    if address is None:
        raise Error(f"{model!r} is no model's address; expected models:/NAME@ALIAS or models:/NAME/VERSION")
    client = connect()
    with explained(f"reading {model}"):
        return find(client, address["name"], alias=address["alias"], version=address["version"])


def find(client: "MlflowClient", name: str, *, alias: str | None = None, version: str | None = None) -> "ModelVersion":
    """The version of the registered model `name` that has this alias, or else this number."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

    try:
        if alias is not None:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        absent = {ErrorCode.Name(code) for code in (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)}
        if error.error_code not in absent:
            raise
        where = f"models:/{name}@{alias}" if alias is not None else f"models:/{name}/{version}"
        raise Error(f"{where} is not in the registry at {shown()}; register or promote a model first") from None


def fetch(version: "ModelVersion") -> Path:
    """The package folder of this version in the cache, each file's SHA-256 as the version's tag `files` says."""
    name = f"models:/{version.name}/{version.version}"
    if "files" not in version.tags:
        raise Error(f"{name} has no tag `files`; expected a version that `destseg register` or `destseg promote` made")
    expected: dict[str, str] = json_tag(version, "files", dict)
    return kept(memo.cache() / "models", expected, name, lambda into: download(name, expected, into))


def download(name: str, expected: Mapping[str, str], into: Path) -> Path:
    """The package of models:/NAME/VERSION, downloaded below `into` and checked; an Error if a file is another."""
    import mlflow

    log.info("downloading %s", name)
    there = {Path(item.path).name for item in mlflow.artifacts.list_artifacts(artifact_uri=f"{name}/{ARTIFACTS}")}
    # Versions that were released earlier have it under the name that it had in the cache.
    folder = _short(expected) if _short(expected) in there else PACKAGE
    got = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{name}/{ARTIFACTS}/{folder}", dst_path=str(into)))
    integrity.check(got, expected, of=name)
    return got


def kept(place: Path, expected: Mapping[str, str], of: str, download: Callable[[Path], Path]) -> Path:
    """The folder of files with these SHA-256s below `place`, downloaded once, and checked whenever it is asked for.

    `download` puts it somewhere into the folder that it is given; `of` names what the files belong to. An Error leaves
    nothing of it there.
    """
    folder = place / _short(expected)
    try:
        if folder.is_dir():
            try:
                integrity.check(folder, expected, of=of)
            except Error:
                shutil.rmtree(folder, ignore_errors=True)  # spoiled in the cache: the registry has the truth
            else:
                return folder
        place.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=place, prefix=".download-") as temporary,
            explained(f"reading {of} into {place}"),
        ):
            got = download(Path(temporary))
            integrity.check(got, expected, of=of)
            try:
                got.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                integrity.check(folder, expected, of=of)  # another process has put the same files there meanwhile
    except OSError as error:
        said = error.strerror or str(error)
        raise Error(
            f"{of} cannot be kept in {place} ({said}); make room there, or set DESTSEG_CACHE to a folder that can"
        ) from None
    return folder


def _short(expected: Mapping[str, str]) -> str:
    return integrity.digest(expected)[:32]
