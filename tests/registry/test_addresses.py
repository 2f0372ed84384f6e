import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from destseg import Error
from destseg.registry import addresses, comparison
from destseg.registry.connection import candidates, connect, released
from destseg.registry.evidence import Lineage
from destseg.registry.promotion import promote
from destseg.registry.register import submit


def test_a_local_folder_or_file_is_its_own_address(tmp_path: Path) -> None:
    assert addresses.resolve(str(tmp_path)) == tmp_path
    with pytest.raises(Error, match="does not exist"):
        addresses.resolve(str(tmp_path / "model.onnx"))


@pytest.mark.parametrize("address", ["models:/washer", "models:/m-123", "models:/washer/latest", "runs:/12/model"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(Error, match="is no model's address"):
        addresses.resolve(address)


def test_a_local_path_costs_no_import_of_mlflow(tmp_path: Path) -> None:
    code = "import sys; from destseg.registry.addresses import resolve; resolve(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert not {"mlflow", "torch"} & set(loaded.stdout.split())


@pytest.mark.usefixtures("store")
def test_a_version_that_does_not_exist_is_named() -> None:
    with pytest.raises(Error, match=r"models:/destseg-nothing/7 is not in the registry at sqlite"):
        addresses.resolve("models:/destseg-nothing/7")


def test_a_version_is_downloaded_once_and_repaired_when_spoiled(
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    category: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    root = results(category)
    uri = submit(category, lineage(root, "a", category=category), root=root).model_uri
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    folder = addresses.resolve(uri)
    assert folder.parent == tmp_path / "cache/models"
    assert (folder / "golden/0.png").read_bytes() == b"picture"
    before = folder.stat().st_ino
    assert addresses.resolve(uri).stat().st_ino == before
    (folder / "model.onnx").write_bytes(b"spoiled")
    assert (addresses.resolve(uri) / "model.onnx").read_bytes() == b"graph of weights"
    assert list(folder.parent.glob(".download-*")) == []
    (stored,) = (store / "mlartifacts" / f"destseg-{category}").rglob("package/golden/0.png")
    stored.unlink()
    (folder / "model.onnx").write_bytes(b"spoiled")
    with pytest.raises(Error, match=r"golden/0\.png is missing"):
        addresses.resolve(uri)


@pytest.mark.usefixtures("store")
def test_a_released_version_is_loaded_where_nothing_is_cached(
    train: Callable[..., Path], category: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(category, why="first", root=train("a"))
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "elsewhere"))
    package = addresses.resolve(f"models:/{released(category)}@champion")
    assert (package / "model.safetensors").read_bytes() == b"a"


def test_a_version_that_was_released_under_the_name_in_the_cache_is_loaded(
    train: Callable[..., Path], category: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(category, why="first", root=train("a"))
    (package,) = (store / "mlartifacts" / f"{released(category)}-released").rglob("artifacts/package")
    version = addresses.registered(f"models:/{released(category)}@champion")
    package.rename(package.with_name(addresses.fetch(version).name))
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "elsewhere"))
    assert (addresses.fetch(version) / "model.safetensors").read_bytes() == b"a"


@pytest.mark.usefixtures("store")
def test_a_cache_that_cannot_be_written_is_named(
    train: Callable[..., Path], category: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("a")
    candidate = connect().get_model_version(candidates(category), "1")
    cache = tmp_path / "elsewhere"
    cache.mkdir()
    monkeypatch.setenv("DESTSEG_CACHE", str(cache))
    for name in ("models", "comparisons"):
        (cache / name).touch()
    with pytest.raises(Error, match=rf"/1 cannot be kept in {cache}/models \(File exists\); make room there"):
        addresses.fetch(candidate)
    with pytest.raises(Error, match=rf"the comparison of .*/1 cannot be kept in {cache}/comparisons \(File exists\)"):
        comparison.present(candidate, None)


def test_a_disk_that_ends_leaves_nothing(
    results: Callable[..., Path],
    lineage: Callable[..., Lineage],
    store: Path,  # noqa: ARG001  # of the session, not of this process's working directory
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = results("full", weights=bytes(300_000))
    uri = submit("full", lineage(root, "a", category="full"), root=root).model_uri
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # bytes of a file, as where the disk has no more
    try:
        with pytest.raises(Error, match=rf"into {tmp_path}/cache/models did not succeed; .*File too large"):
            addresses.resolve(uri)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "cache/models").iterdir()) == []
    assert (addresses.resolve(uri) / "model.safetensors").stat().st_size == 300_000
