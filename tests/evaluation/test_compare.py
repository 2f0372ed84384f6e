"""A challenger and a champion with random weights on a small dataset: what a comparison writes of them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from destseg import Error, files
from destseg.evaluation.compare import compute
from destseg.evaluation.figures import overlay
from destseg.evaluation.measured import CURVE_POINTS
from destseg.evaluation.paired import compare
from destseg.evaluation.summary import Summary
from destseg.inference.predictor import Predictor
from destseg.model.calibration import Calibration

from ..packages import SIZE, photograph, write_package

PARAMS = "image: {size: 64}\nsplit: {calibration_share: 0.5}\ncategories:\n  plate: {}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with defects, and two packages beside it."""
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").write_text(PARAMS)
    rng, data = np.random.default_rng(0), root / "data/mvtec/plate"
    normals = [photograph(data / f"train/good/{index}.png", rng) for index in range(12)]
    for index in range(4):
        photograph(data / f"test/good/{index}.png", rng)
        photograph(data / f"test/hole/{index}.png", rng, defect=True)
        photograph(data / f"test/dent/{index}.png", rng, defect=True)
    write_package(root / "challenger", normals[:6], seed=1)
    write_package(root / "champion", normals[:6], seed=2, size=96)
    return root


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    """Where a comparison of both writes."""
    folder = root / "comparison"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def content(root: Path, folder: Path) -> dict:
    """What it found, as JSON gives it back."""
    found = compute("plate", root / "challenger", root / "champion", folder, root=root)
    return json.loads(json.dumps(found, allow_nan=False))


def test_both_models_are_measured_on_the_same_images_at_their_own_sizes(content: dict, folder: Path) -> None:
    assert content["kinds"] == {"good": 4, "dent": 4, "hole": 4}
    assert not content["synthetic"]
    summaries = {role: Summary.load(folder / f"{role}.npz") for role in ("challenger", "champion")}
    found = compare(summaries["champion"], summaries["challenger"])
    assert found.image_auroc is not None
    assert content["verdict"] == str(found)
    assert content["differences"]["image_auroc"] == vars(found.image_auroc)
    assert content["better"] == list(found.verdicts.better)
    assert content["worse"] == list(found.verdicts.worse)
    assert content["newly_rejected"] == list(found.verdicts.good.newly_rejected)
    for role, summary in summaries.items():
        model = content[role]
        assert model["calibration"]["threshold"] == summary.calibration.threshold
        assert model["metrics"]["image_auroc"] == pytest.approx(content["differences"]["image_auroc"][role])
        rejected = summary.scores > summary.calibration.threshold
        assert model["kinds"]["hole"] == {"images": 4, "caught": int(rejected[summary.kinds == "hole"].sum())}
        assert model["false_rejects"]["count"] == int(rejected[summary.kinds == "good"].sum())
        assert model["latency_ms"] > 0


def test_a_row_for_each_image_says_what_each_model_makes_of_it(content: dict, root: Path) -> None:
    for place, row in enumerate(content["images"]):
        path = root / "data/mvtec/plate" / row["name"]
        assert row["sha256"] == files.sha256(path)
        for role in ("challenger", "champion"):
            (expected,) = Predictor.load(root / role).predict([path])
            assert row[role]["score"] == pytest.approx(expected.score, abs=1e-6)
            assert row[role]["rejected"] is expected.anomalous
            assert 0 <= row[role]["place"] <= 1
            assert (row[role]["place"] > 2 / 3) is expected.anomalous, place
    assert [row["name"] for row in content["images"]] == sorted(row["name"] for row in content["images"])


def test_the_gallery_has_the_pictures_of_each_image_in_the_models_colour_ranges(
    root: Path, folder: Path, content: dict
) -> None:
    row = content["images"][0]
    path = root / "data/mvtec/plate" / row["name"]
    with zipfile.ZipFile(folder / "gallery.zip") as archive:
        names = {"photo", "truth", "challenger", "champion"}
        assert sorted(archive.namelist()) == sorted(f"{index}/{name}.webp" for index in range(12) for name in names)
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        pictures = {name: Image.open(io.BytesIO(archive.read(f"0/{name}.webp"))).convert("RGB") for name in names}
    assert {name: picture.width for name, picture in pictures.items()} == {**dict.fromkeys(names, SIZE), "champion": 96}
    predictor = Predictor.load(root / "challenger")
    (found,) = predictor.predict([path])
    shown = overlay(np.asarray(pictures["photo"]), found.map, predictor.card.calibration)
    assert np.abs(np.asarray(shown, dtype=float) - np.asarray(pictures["challenger"], dtype=float)).mean() < 6


def test_the_curves_that_are_kept_hold_the_metrics_that_were_measured(content: dict) -> None:
    for role in ("challenger", "champion"):
        metrics, curves = content[role]["metrics"], content[role]["curves"]
        roc, precision = (np.array(curves[name]) for name in ("image_roc", "pixel_precision_recall"))
        assert roc[[0, -1]].tolist() == [[0, 0], [1, 1]]
        assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(metrics["image_auroc"], abs=1e-3)
        assert 2 < len(precision) <= CURVE_POINTS
        assert (precision[-1, 0], (np.diff(precision[:, 0]) >= 0).all()) == (1, True)
        steps = np.diff(precision[:, 0], prepend=0)
        assert steps @ precision[:, 1] == pytest.approx(metrics["pixel_ap"], abs=0.01)


def test_the_current_operating_point_gives_the_models_own_verdicts(content: dict) -> None:
    points, model = content["operating_points"], content["challenger"]
    current = points[content["current"]]
    assert current["threshold"] == model["calibration"]["threshold"]
    assert current["provable_rate"] == model["calibration"]["provable_rate"]
    assert current["false_rejects"] == model["false_rejects"]["count"]
    kinds = {kind: found["images"] - found["caught"] for kind, found in model["kinds"].items()}
    assert current["escapes"] == kinds
    rates = [point["rate"] for point in points]
    assert rates == sorted(rates)
    assert len(rates) == 4  # of six scores, the upper half: none to three above
    assert [point["threshold"] for point in points] == sorted((p["threshold"] for p in points), reverse=True)


def test_without_a_champion_there_is_nothing_to_compare_with(root: Path, tmp_path: Path) -> None:
    content = compute("plate", root / "challenger", None, tmp_path, root=root)
    assert (content["champion"], content["differences"], content["better"]) == (None, {}, [])
    assert content["images"][0]["champion"] is None
    caught = sum(found["caught"] for found in content["challenger"]["kinds"].values())
    alarms = content["challenger"]["false_rejects"]["count"]
    said = f"catches {caught} of 8 defects, {alarms} of 4 good images falsely rejected; there is no champion yet"
    assert content["verdict"] == said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["challenger.npz", "gallery.zip"]


def test_a_model_without_a_threshold_has_no_verdicts(root: Path, tmp_path: Path) -> None:
    plain, folder = write_package(tmp_path / "plain", []), tmp_path / "out"
    folder.mkdir()
    content = compute("plate", plain, root / "champion", folder, root=root)
    assert content["verdict"] == "no verdicts: a model has no threshold"
    assert (content["operating_points"], content["current"]) == ([], None)
    assert (content["challenger"]["calibration"], content["challenger"]["false_rejects"]) == (None, None)
    assert content["challenger"]["kinds"]["hole"] == {"images": 4, "caught": None}
    row = content["images"][0]["challenger"]
    assert (row["rejected"], row["place"]) == (None, None)


def test_without_defect_images_the_defects_are_made_and_every_name_says_so(root: Path, tmp_path: Path) -> None:
    for index in range(3):
        photograph(tmp_path / f"data/mvtec/plate/test/good/{index}.png", np.random.default_rng(index))
        photograph(tmp_path / f"data/mvtec/plate/train/good/{index}.png", np.random.default_rng(9 + index))
    (tmp_path / "params.yaml").write_text(PARAMS)
    contents = []
    for run in "ab":
        (tmp_path / run).mkdir()
        contents.append(compute("plate", root / "challenger", None, tmp_path / run, root=tmp_path))
    first, second = contents
    assert first["synthetic"]
    assert first["verdict"].endswith("(synthetic defects)")
    assert first["kinds"] == {"good": 3, "surface": 32, "texture": 32}
    assert all(row["name"].startswith(f"synthetic/{row['kind']}/") for row in first["images"] if row["kind"] != "good")
    assert [row["sha256"] for row in first["images"]] == [row["sha256"] for row in second["images"]]
    assert first["challenger"]["metrics"]["pixel_ap"] is not None
    assert (tmp_path / "a/gallery.zip").read_bytes() == (tmp_path / "b/gallery.zip").read_bytes()


def test_a_dataset_with_no_image_to_test_on_is_refused(root: Path, tmp_path: Path) -> None:
    photograph(tmp_path / "data/mvtec/plate/train/good/0.png", np.random.default_rng(0))
    (tmp_path / "params.yaml").write_text(PARAMS.replace("0.5", "0.0"))
    with pytest.raises(Error, match=r"no image in test/ and no held-out normal image.*split.calibration_share"):
        compute("plate", root / "challenger", None, tmp_path, root=tmp_path)


def test_a_calibration_from_before_scores_were_kept_has_one_operating_point(root: Path, tmp_path: Path) -> None:
    card = json.loads((root / "challenger/model.json").read_text())
    threshold = Calibration.from_dict(card["calibration"]).threshold
    card["calibration"]["scores"] = []
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.json").write_text(json.dumps(card))
    (tmp_path / "model/model.safetensors").write_bytes((root / "challenger/model.safetensors").read_bytes())
    content = compute("plate", tmp_path / "model", None, tmp_path, root=root)
    (point,) = content["operating_points"]
    assert (point["threshold"], point["rate"], content["current"]) == (threshold, 0.01, 0)
