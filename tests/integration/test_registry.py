"""From `dvc repro` to a champion that scores photographs elsewhere: git, DVC, S3 and MLflow, nothing stood in for."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from destseg import Error
from destseg.inference.predictor import Predictor
from destseg.registry.addresses import resolve
from destseg.registry.compare import compare
from destseg.registry.connection import candidates, connect
from destseg.registry.evidence import check_current, lineage
from destseg.registry.promotion import promote
from destseg.registry.register import register, submit
from destseg.registry.trace import Trace, trace
from destseg.storage import versions

# The last two stages of the pipeline, with a network that has learned nothing.
STAGES = """
stages:
  evaluate:
    matrix: {category: "${categories}"}
    cmd: python results.py evaluate ${item.category}
    deps: [results.py, "data/mvtec/${item.category}"]
    params: [image, student]
    outs:
      - build/${item.category}/accepted.json
      - build/${item.category}/calibration.json
      - build/${item.category}/evaluation
      - build/${item.category}/metrics.json
  package:
    matrix: {category: "${categories}"}
    cmd: python results.py package ${item.category}
    deps: [results.py, "build/${item.category}/accepted.json", "build/${item.category}/calibration.json"]
    outs: ["build/${item.category}/package"]
"""
RESULTS = """
import json, sys
from pathlib import Path
import torch
from destseg import files
from destseg.dataset.accepted import Accepted, accepted_path
from destseg.model.calibration import Calibration
from destseg.model.network import DeSTSeg
from destseg.model.card import ModelCard
from destseg.model.weights import save_weights

CALIBRATION = {"threshold": 0.0, "target_rate": 0.01, "provable_rate": 0.3, "confidence": 0.95, "images": 9,
               "heat_low": 0.0, "heat_high": 1.0, "scores": [0.0]}
stage, category = sys.argv[1:]
build = Path("build") / category
build.mkdir(parents=True, exist_ok=True)
if stage == "evaluate":
    (build / "student-loss.csv").write_text("step,loss\\n0,1.0\\n")
    (build / "segmentation-loss.csv").write_text("step,focal,l1\\n0,1.0,1.0\\n")
    (build / "metrics.json").write_text('{"image_auroc": 0.5}')
    (build / "calibration.json").write_text(json.dumps(CALIBRATION))
    data = Path("data/mvtec") / category
    tested = [{"name": "test/good/0.png", "sha256": files.sha256(data / "test/good/0.png")}]
    (build / "evaluation").mkdir(exist_ok=True)
    (build / "evaluation/scores.json").write_text(json.dumps(tested))
    images = [("train/good/0.png", files.sha256(data / "train/good/0.png"))]
    Accepted(category=category, training=images, calibration=[]).write()
else:
    torch.manual_seed(0)
    folder = build / "package"
    folder.mkdir(exist_ok=True)
    save_weights(folder / "model.safetensors", DeSTSeg(8, encoder_decoder=False))
    calibration = Calibration.from_dict(json.loads((build / "calibration.json").read_text()))
    card = ModelCard(category=category, size=64, bit_depth=8, segmentation_width=8, encoder_decoder=False,
                     teacher={"source": "formula", "sha256": "0" * 64}, calibration=calibration,
                     training_images=files.sha256(accepted_path(category)), destseg="0.1.0",
                     files={"model.safetensors": files.sha256(folder / "model.safetensors")})
    (folder / "model.json").write_text(card.to_json())
    parity = {"tolerance": 1e-3, "largest_difference": {"model.safetensors": 0.0}}
    (folder / "parity.json").write_text(json.dumps(parity))
"""
# Another machine: no `destseg` can be imported but the one that comes with the model; then a server of that model.
ELSEWHERE = """
import base64, importlib.util, json, os, sys
from pathlib import Path
sys.path = [entry for entry in sys.path if not (Path(entry or ".") / "destseg").is_dir()]
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in str(getattr(finder, "__module__", finder))]
assert importlib.util.find_spec("destseg") is None
import mlflow, pandas
address, picture = sys.argv[1:]
model = mlflow.pyfunc.load_model(address)
raw = Path(picture).read_bytes()
text = base64.b64encode(raw).decode()
found = [model.predict(pandas.DataFrame({"image": [value]})).iloc[0].to_dict() for value in (text, raw, picture)]
import destseg.inference.predictor
assert "mlflow" in destseg.__file__ or "code" in destseg.__file__, destseg.__file__
loaded = sorted({name.partition(".")[2].partition(".")[0] for name in sys.modules if name.startswith("destseg.")})

os.environ["__pyfunc_model_path__"] = address
from mlflow.pyfunc.scoring_server import app
from fastapi.testclient import TestClient
client = TestClient(app.app, raise_server_exceptions=False)
ask = lambda value: client.post("/invocations", json={"dataframe_records": [{"image": value}]})
served, refused = ask(text), ask(picture)
print(json.dumps({
    "found": found, "rooms": loaded, "served": served.json(), "codes": [served.status_code, refused.status_code],
    "refused": refused.text,
}))
"""


@pytest.fixture
def repository(origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a dataset and results that fit it, and an environment whose models lie on S3."""
    root = origin.clone(tmp_path / "clone")
    for index, folder in enumerate(["train/good", "test/good"]):
        (root / "data/mvtec/washer" / folder).mkdir(parents=True)
        pixels = np.random.default_rng(index).integers(0, 255, (70, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "data/mvtec/washer" / folder / "0.png")
    params = (root / "params.yaml").read_text().replace("categories: {}", "categories: {washer: {}}")
    (root / "params.yaml").write_text(params)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "results.py").write_text(RESULTS)
    (root / ".gitignore").write_text("/build/\n")
    versions.dvc(root, "add", "-q", "data/mvtec/washer")
    versions.git(root, "add", ".")
    versions.commit(root, [Path()], "A category")
    versions.dvc(root, "push", "-q", "data/mvtec/washer.dvc")
    versions.dvc(root, "repro", "-q")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("DESTSEG_ARTIFACTS", f"s3://{origin.bucket}/mlflow")
    monkeypatch.setenv("DESTSEG_CACHE", str(tmp_path / "cache"))
    return root


def test_from_results_to_a_champion_that_scores_elsewhere(repository: Path, tmp_path: Path) -> None:
    root = repository
    unregistered = trace(str(root / "build/washer"), root=root)
    created = register("washer", root=root)
    traced = trace(created.model_uri, root=root)
    assert isinstance(unregistered, Trace)
    assert isinstance(traced, Trace)
    assert (unregistered.model, unregistered.lineage) == ("build/washer", traced.lineage)
    assert unregistered.images == traced.images
    assert [(image.part, image.name) for image in traced.images] == [
        ("training", "train/good/0.png"),
        ("acceptance", "test/good/0.png"),
    ]
    assert (created.version, created.created) == (1, True)
    candidate = connect().get_model_version_by_alias(candidates("washer"), "challenger")
    assert candidate.tags["git_clean"] == "true"
    assert candidate.tags["dataset_version"] == versions.dataset_version(root, "washer")
    assert candidate.tags["commit"] == versions.head(root)
    assert register("washer", root=root).created is False

    accepted = root / "build/washer/accepted.json"
    kept = accepted.read_text()
    accepted.write_text(kept.replace("0.png", "1.png"))
    with pytest.raises(Error, match=r"accepted\.json has SHA-256 .*, the package was trained on the images of"):
        submit("washer", lineage("washer", root), root=root)
    accepted.write_text(kept)

    compared = compare("washer", root=root)
    assert compared.synthetic  # its test set has no defect
    assert "synthetic defects" in compared.verdict
    champion = promote("washer", why="the first one", who="Ada", root=root)
    assert champion.created
    address = "models:/destseg-washer@champion"
    package = resolve(address)
    picture = root / "data/mvtec/washer/test/good/0.png"
    (expected,) = Predictor.load(package).predict([picture])

    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere/score.py"
    script.write_text(ELSEWHERE)
    command = [sys.executable, str(script), address, str(picture)]
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(command, cwd=script.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for row in answer["found"]:  # base64, bytes, path
        assert row["score"] == pytest.approx(expected.score, abs=1e-6)
        assert row["anomalous"] is True
    assert set(answer["rooms"]) <= {"ahead", "dataset", "inference", "model", "files", "settings"}
    (served,) = answer["served"]["predictions"]
    assert served["score"] == pytest.approx(expected.score, abs=1e-6)
    heat = np.asarray(Image.open(io.BytesIO(base64.b64decode(served["heatmap"]))))
    assert np.abs(heat / 255 - expected.map).max() <= 0.5 / 255 + 1e-6
    assert answer["codes"] == [200, 400]  # a server opens no file that a request names
    assert "is no base64 text" in answer["refused"]


def test_only_results_of_the_present_settings_are_registered(repository: Path) -> None:
    # as after `dvc repro --pull`, which fetches no result that nothing needs
    (repository / "build/washer/calibration.json").unlink()
    check_current("washer", repository)

    params = repository / "params.yaml"
    params.write_text(params.read_text().replace("steps: 10", "steps: 20"))
    with pytest.raises(Error, match=r"changed: evaluate@washer.*run `dvc repro` before"):
        register("washer", root=repository)
