"""A teacher that was fetched once reaches machines that cannot fetch it, through the DVC remote."""

import os
import shutil
from pathlib import Path

import pytest

from destseg.edit import editing
from destseg.files import sha256
from destseg.model.sources import FORMULA
from destseg.storage.process import QUIET, ProcessError, environment, run

from ..conftest import make_bucket
from .test_pipeline import make_repository

OUTS = ("build/washer/teacher.safetensors", "build/fabric/teacher.safetensors")
RAN = "Running stage 'teacher@"
PRIVATE = {"GIT_CONFIG_GLOBAL": os.devnull, **QUIET}


def said(root: Path, *command: str) -> str:
    return run(list(command), cwd=root, env=environment(PRIVATE))


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Path:
    """Two categories whose teacher comes from a file that is gone by now; its outputs are in the remote."""
    root = tmp_path_factory.mktemp("project")
    source = root.parent / f"{root.name}-mine.safetensors"
    make_repository(root)
    shutil.copyfile(FORMULA, source)
    with editing(root / "params.yaml") as params:
        params.put(("teacher",), {"source": "file", "path": str(source), "sha256": sha256(source)})
        params.put(("categories",), {"washer": {"teacher": {}}, "fabric": {"teacher": {}}})
    said(root, "dvc", "remote", "add", "--force", "--default", "storage", f"s3://{make_bucket(s3_server)}/dvc")
    said(root, "git", "commit", "--quiet", "--all", "-m", "A teacher of ours")
    assert said(root, "dvc", "repro", "teacher").count(RAN) == len(OUTS)
    said(root, "dvc", "push", "--run-cache", "teacher")
    source.unlink()
    return root


def test_a_worker_without_the_source_takes_the_teacher_from_the_remote(fetched: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker"
    said(tmp_path, "git", "clone", "--quiet", str(fetched), str(worker))
    assert not (worker / "dvc.lock").exists()  # a retrain does not commit it: the run cache has to do
    assert RAN not in said(worker, "dvc", "repro", "--pull", "teacher")
    assert [sha256(worker / out) for out in OUTS] == [sha256(fetched / out) for out in OUTS]


def test_an_engineer_with_the_lock_file_pulls_it(fetched: Path, tmp_path: Path) -> None:
    engineer = tmp_path / "engineer"
    said(tmp_path, "git", "clone", "--quiet", str(fetched), str(engineer))
    shutil.copyfile(fetched / "dvc.lock", engineer / "dvc.lock")
    said(engineer, "dvc", "pull", "teacher")
    assert [sha256(engineer / out) for out in OUTS] == [sha256(fetched / out) for out in OUTS]


def test_without_source_and_remote_the_stage_says_what_is_missing(fetched: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    said(tmp_path, "git", "clone", "--quiet", str(fetched), str(alone))
    with pytest.raises(ProcessError, match=r"mine\.safetensors does not exist; expected a safetensors file"):
        said(alone, "dvc", "repro", "teacher")
