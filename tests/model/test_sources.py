"""The ImageNet teacher is the file that torchvision names, whole and unchanged, or an error that says what to do."""

import hashlib
import http.server
import pickle
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from destseg import Error
from destseg.model import sources
from destseg.model.sources import TeacherSettings, fetch
from destseg.model.teacher import load_teacher
from destseg.model.weights import read_metadata

NAME = "resnet18-f37072fd.pth"
IMAGENET = TeacherSettings(source="imagenet")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch hub keeps the file; nothing is there yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch/hub/checkpoints" / NAME


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a web server shows, at the address that torchvision takes the weights from."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(
            ResNet18_Weights.IMAGENET1K_V1.value, "url", f"http://127.0.0.1:{server.server_port}/{NAME}"
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder
        server.shutdown()


def write_weights(path: Path, monkeypatch: pytest.MonkeyPatch, *, counters: bool) -> dict[str, torch.Tensor]:
    """A stand-in for torchvision's file, whose hash the source then expects; returns its tensors."""
    torch.manual_seed(0)
    state = {name: value for name, value in resnet18().state_dict().items() if counters or "num_batches" not in name}
    torch.save(state, path)
    monkeypatch.setattr(sources, "IMAGENET_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return state


def test_the_hash_is_of_the_file_that_torchvision_names() -> None:
    assert ResNet18_Weights.IMAGENET1K_V1.url.endswith(f"/{NAME}")
    assert sources.IMAGENET_SHA256.startswith("f37072fd")
    assert len(sources.IMAGENET_SHA256) == 64


@pytest.mark.parametrize("counters", [True, False])  # of BatchNorm; older files have none
def test_downloaded_weights_become_the_teacher_under_their_full_hash(
    served: Path, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counters: bool
) -> None:
    state = write_weights(served / NAME, monkeypatch, counters=counters)
    out = tmp_path / "teacher.safetensors"
    metadata = fetch(IMAGENET, out)
    assert metadata == read_metadata(out)
    assert (metadata["source"], metadata["sha256"]) == ("imagenet", sources.IMAGENET_SHA256)
    assert (metadata["backbone"], metadata["licence"]) == ("resnet18", sources.LICENCES["imagenet"])
    teacher, _ = load_teacher(out)
    assert torch.equal(teacher.layer3[1].bn2.running_var, state["layer3.1.bn2.running_var"])
    assert torch.equal(teacher.conv1.weight, state["conv1.weight"])
    (served / NAME).unlink()  # from here on torch hub's own folder has it
    assert cached.is_file()
    assert fetch(IMAGENET, out) == metadata


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(served: Path, cached: Path, tmp_path: Path) -> None:
    (served / NAME).write_bytes(b"<html>please sign in</html>")
    with pytest.raises(Error, match=r"could not be had .invalid hash value.*dvc push --run-cache") as found:
        fetch(IMAGENET, tmp_path / "teacher.safetensors")
    assert hashlib.sha256((served / NAME).read_bytes()).hexdigest() in str(found.value)
    assert list(cached.parent.iterdir()) == []
    assert not (tmp_path / "teacher.safetensors").exists()


class Hostile:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.folder,)


def test_a_file_in_torch_hubs_folder_that_is_another_one_is_refused_and_not_unpickled(
    cached: Path, tmp_path: Path
) -> None:
    cached.parent.mkdir(parents=True)
    torch.save(Hostile(tmp_path / "unpickled"), cached)
    with pytest.raises(Error, match=f"{NAME} has SHA-256 .* expected {sources.IMAGENET_SHA256}; delete it"):
        fetch(IMAGENET, tmp_path / "teacher.safetensors")
    assert not (tmp_path / "unpickled").exists()


def test_even_the_expected_file_runs_no_code(cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached.parent.mkdir(parents=True)
    torch.save(Hostile(tmp_path / "unpickled"), cached)
    monkeypatch.setattr(sources, "IMAGENET_SHA256", hashlib.sha256(cached.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        fetch(IMAGENET, tmp_path / "teacher.safetensors")
    assert not (tmp_path / "unpickled").exists()
    torch.load(cached, weights_only=False)  # as torchvision would by itself
    assert (tmp_path / "unpickled").exists()


@pytest.mark.usefixtures("cached")
def test_a_server_that_never_answers_ends_in_an_error_and_leaves_the_process_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}"
        monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", address)
        with pytest.raises(Error, match=r"could not be had .*timed out"):
            fetch(IMAGENET, tmp_path / "teacher.safetensors")
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("cached")
def test_without_internet_the_error_names_every_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(ResNet18_Weights.IMAGENET1K_V1.value, "url", f"http://127.0.0.1:{port}/{NAME}")
    with pytest.raises(Error) as found:
        fetch(IMAGENET, tmp_path / "teacher.safetensors")
    for way in ("dvc push --run-cache", "dvc repro --pull", "`formula`", "`file`", "torch/hub/checkpoints"):
        assert way in str(found.value)
