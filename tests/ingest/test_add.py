"""A folder becomes a dataset: checked as a whole, copied, tracked, entered; with a real DVC and no remote."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from destseg import Error
from destseg.dataset import provenance
from destseg.ingest import add as room
from destseg.ingest.add import add, list_datasets
from destseg.presets.preset import of
from destseg.presets.use import use
from destseg.storage import versions

PARAMS = """\
# All settings.
seed: 0  # the one seed
image: {size: 64}

categories: {}  # name: its overrides

student:
  lr: 1e-3  # section 4
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A git and DVC repository with params.yaml and no category."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    versions.git(root, "init", "--quiet")
    versions.use_cache(root, tmp_path / "cache")
    (root / "params.yaml").write_text(PARAMS)
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three normal images, one to test with, and one defect with its mask."""
    folder = tmp_path / "photographs"
    for index, name in enumerate(["train/good/a", "train/good/b", "train/good/c", "test/good/d", "test/scratch/e"]):
        picture(folder / f"{name}.png", seed=index)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 10:20] = 255
    save(folder / "ground_truth/scratch/e_mask.png", mask)
    return folder


def picture(path: Path, seed: int, side: int = 64) -> None:
    save(path, np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_a_folder_becomes_a_dataset(root: Path, source: Path) -> None:
    (source / "license.txt").write_text("as MVTec has it")
    found = add("washer", source, root)
    assert (found.normals, found.defects) == (4, 1)
    assert found.version == versions.dataset_version(root, "washer")
    assert "git add params.yaml data/mvtec" in found.next_step
    assert "dvc remote add" in found.next_step
    copied = {path.relative_to(root / "data/mvtec/washer").as_posix() for path in images(root / "data/mvtec/washer")}
    assert copied == {path.relative_to(source).as_posix() for path in images(source)}
    assert set(versions.listing(root, "washer")) == copied
    row = list_datasets(root)[0]
    assert (row.category, row.version, row.normals, row.defects, row.state) == ("washer", found.version, 4, 1, "ready")

    before = (root / "params.yaml").read_text()
    assert add("washer", source, root) == found  # again
    assert (root / "params.yaml").read_text() == before

    picture(source / "train/good/z.png", seed=9)
    with pytest.raises(Error, match="there already, with other images"):
        add("washer", source, root)
    assert versions.dataset_version(root, "washer") == found.version

    shutil.rmtree(root / "data/mvtec/washer")
    assert list_datasets(root)[0].state == "not pulled: dvc pull data/mvtec/washer.dvc"


def images(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.png") if path.is_file()]


def test_the_first_version_says_where_its_photographs_came_from(root: Path, source: Path) -> None:
    added = add("screw", source, root)
    records = provenance.read(root, "screw")
    assert {record["name"] for record in records} == {
        *(f"train/good/{name}.png" for name in "abc"),
        "test/good/d.png",
        "test/scratch/e.png",
    }
    for record in records:
        path = source / record["name"]
        assert (record["sha256"], record["size"], record["version"]) == (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_size,
            added.version,
        )
        assert record["keys"] == [record["name"]]
    before = (root / provenance.path("screw")).read_bytes()
    add("screw", source, root)
    assert (root / provenance.path("screw")).read_bytes() == before


def test_a_folder_without_defects_is_entered_as_normals_only(root: Path, source: Path) -> None:
    shutil.rmtree(source / "test/scratch")
    shutil.rmtree(source / "ground_truth")
    add("screw", source, root)
    assert yaml.safe_load((root / "params.yaml").read_text())["categories"]["screw"]["validation"] == {
        "normals_only": True
    }


def test_what_the_photographs_ask_for_is_entered_with_a_new_compact_category(root: Path, source: Path) -> None:
    for path in images(source):
        if "ground_truth" not in path.parts:
            picture(path, seed=0, side=520)
    for path in (source / "ground_truth").rglob("*.png"):
        with Image.open(path) as mask:
            mask.resize((520, 520)).save(path)
    (root / "params.yaml").write_text("categories: {}\n")
    use("compact", root=root)

    def entered(name: str) -> tuple[object, object]:
        own = yaml.safe_load((root / "params.yaml").read_text())["categories"][name]
        return own["image"].get("size"), own["synthesis"].get("crop")

    added = add("bolt", source, root)
    assert added.seen == {"image": {"size": 512}, "synthesis": {"crop": 256}}
    assert "preset compact, and for these photographs image.size 512, synthesis.crop 256." in str(added)
    assert entered("bolt") == (512, 256)
    assert add("nut", source, root, preset="paper").seen == {}
    assert entered("nut") == (None, None)
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("size: 512", "size: 320"))
    assert add("bolt", source, root).seen == {}
    assert entered("bolt") == (320, 256)
    (root / "params.yaml").write_text("image: {size: 768}\n" + (root / "params.yaml").read_text())
    assert add("screw", source, root).seen == {}
    assert entered("screw") == (None, None)


def test_params_keep_their_comments(root: Path) -> None:
    room._enter("washer", root)
    room._enter("fabric", root)
    text = (root / "params.yaml").read_text()
    for line in ["# All settings.", "seed: 0  # the one seed", "image: {size: 64}", "  lr: 1e-3  # section 4"]:
        assert line in text.splitlines()
    assert "# name: its overrides" in text
    empty = {section: {} for section in room.SECTIONS}
    assert yaml.safe_load(text)["categories"] == {"washer": empty, "fabric": empty}
    assert "\n  washer:\n    image: {}\n" in text


def test_overrides_that_are_there_stay(root: Path) -> None:
    (root / "params.yaml").write_text("categories:\n  washer:\n    student: {steps: 5}  # quick\n")
    room._enter("washer", root)
    assert "student: {steps: 5}  # quick" in (root / "params.yaml").read_text()
    assert set(yaml.safe_load((root / "params.yaml").read_text())["categories"]["washer"]) == set(room.SECTIONS)


def test_a_new_category_follows_the_top_level_where_that_is_a_presets_or_no_presets(root: Path) -> None:
    room._enter("washer", root)  # its lr of 1e-3 is no preset's
    (root / "params.yaml").write_text("seed: 0\n")
    use("compact", root=root)
    room._enter("fabric", root)
    entered = yaml.safe_load((root / "params.yaml").read_text())["categories"]
    assert entered == {"fabric": {section: {} for section in room.SECTIONS}}
    assert of("fabric", root=root) == "compact"


def test_a_new_category_is_compact_though_the_top_level_is_the_papers_unless_it_is_told(root: Path) -> None:
    (root / "params.yaml").write_text("categories:\n  tile: {}\n")
    for category, preset in (("washer", None), ("fabric", "paper"), ("tile", None)):
        room._enter(category, root, preset)
    assert [of(category, root=root) for category in ("washer", "fabric", "tile")] == ["compact", "paper", "paper"]
    room._enter("tile", root, "compact")
    assert of("tile", root=root) == "compact"


def test_what_is_added_names_its_preset_and_an_unknown_one_is_refused_before_anything_is_copied(
    root: Path, source: Path
) -> None:
    with pytest.raises(Error, match="preset 'huge' does not exist; expected one of compact, paper"):
        add("washer", source, root, preset="huge")
    assert not (root / "data").exists()
    assert "preset paper" in str(add("washer", source, root, preset="paper"))
    assert add("washer", source, root).preset == "paper"
    assert add("fabric", source, root).preset == "own settings"


def test_all_mistakes_are_reported_at_once(root: Path, source: Path) -> None:
    (source / "ground_truth/scratch/e_mask.png").unlink()
    save(source / "ground_truth/scratch/f_mask.png", np.zeros((64, 64), np.uint8))
    picture(source / "train/scratch/g.png", seed=10)
    (source / "train/good/notes.txt").write_text("")
    (source / "train/good/h.png").write_bytes(b"no image")
    picture(source / "test/dent/i.png", seed=11)
    save(source / "ground_truth/dent/i_mask.png", np.full((32, 32), 255, np.uint8))
    picture(source / "test/dent/i.jpg", seed=11)
    picture(source / "test/deep/er/j.png", seed=12)
    with pytest.raises(Error) as caught:
        add("washer", source, root)
    for mistake in [
        "test/scratch/e.png: its mask ground_truth/scratch/e_mask.png does not exist",
        "ground_truth/scratch/f_mask.png: no image in test belongs to this mask",
        "ground_truth/scratch/f_mask.png: the mask marks nothing",
        "train/scratch/g.png: only train/good trains; defects belong in test/scratch",
        "train/good/notes.txt: expected an image",
        "train/good/h.png: cannot be decoded",
        "ground_truth/dent/i_mask.png: has 32x32 pixels, its image 64x64",
        "test/dent/i.*: 2 images share this name",
        "test/deep/er/j.png: expected test/<kind>/<file>",
    ]:
        assert mistake in str(caught.value)
    assert not (root / "data").exists()
    assert (root / "params.yaml").read_text() == PARAMS


@pytest.mark.parametrize("missing", ["train", "."])
def test_a_folder_without_normal_images_is_refused(root: Path, source: Path, missing: str) -> None:
    shutil.rmtree(source / missing)
    with pytest.raises(Error, match="train/good"):
        add("washer", source, root)


def test_a_name_that_can_be_no_folder_is_refused(root: Path, source: Path) -> None:
    with pytest.raises(Error, match="category"):
        add("../washer", source, root)


def test_a_place_that_is_no_repository_is_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(Error, match="no DVC repository"):
        add("washer", source, tmp_path)


def test_what_a_killed_copy_left_is_cleared(root: Path, source: Path) -> None:
    picture(root / "data/mvtec/.washer-abcd1234/washer/train/good/a.png", seed=0)
    room._refuse_other("washer", root, source, [])
    assert not list((root / "data/mvtec").iterdir())


def test_a_category_without_its_dataset_is_listed(root: Path) -> None:
    room._enter("washer", root)
    (row,) = list_datasets(root)
    assert (row.version, row.normals, row.state) == (None, None, "no dataset: destseg dataset add washer --from DIR")
